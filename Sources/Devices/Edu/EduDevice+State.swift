public import VFIOUserServer
internal import LinuxPrimitives

extension EduDevice: SavableDevice {
  /// The registers and the buffer.
  public struct SavedState: Codable, Sendable {
    let registers: EduRegisters
  }

  /// Work is done by the worker, and has ended when the device is suspended.
  public func save() throws(StateError) -> SavedState {
    SavedState(registers: registers.withLock { $0 })
  }

  /// Takes registers and buffer over.
  ///
  /// - Throws: when the buffer has another size, or something is under way.
  public func load(_ state: SavedState) throws(StateError) {
    if let problem = state.registers.problem { throw StateError(problem) }
    registers.withLock { $0 = state.registers }
  }
}
