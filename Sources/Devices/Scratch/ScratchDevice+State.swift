public import VFIOUserServer
internal import LinuxPrimitives

extension ScratchDevice: SavableDevice {
  /// Registers, results of copies, and BAR 1; the framework has BAR 2.
  public struct SavedState: Codable, Sendable {
    let registers: RegisterFile.Contents
    let engine: CopyEngine.Record
    let memory: PagedBytes
  }

  /// Copies are done by the worker, and end by themselves; the doorbell's descriptor waits.
  public func suspend(_ whenDone: @escaping @Sendable () -> Void) {
    bell?.halt()
    engine.suspend(whenDone)
  }

  /// What has to be saved.
  public func save() throws(StateError) -> SavedState {
    // The signal stays in the eventfd too, for whoever continues with that.
    if bell?.isSignalled == true { engine.noteRing() }
    return SavedState(
      registers: registers.contents, engine: engine.record, memory: memory.withLock { $0 })
  }

  /// Takes a state over.
  ///
  /// - Throws: when a copy is under way, or something has another size.
  public func load(_ state: SavedState) throws(StateError) {
    guard state.engine.status.waiting == 0 else {
      throw StateError("\(state.engine.status.waiting) copies are under way, and nobody does them")
    }
    guard memory.withLock({ $0.canBecome(state.memory) }) else {
      throw StateError("the memory of BAR 1 has another size")
    }
    try registers.load(state.registers)
    memory.withLock { $0 = state.memory }
    engine.load(state.engine, ScratchRegisters.request(in: registers))
  }

  /// Acts on the doorbell again.
  public func resume() {
    if engine.hasRung { bell?.take() }
    engine.resume()
    bell?.proceed()
  }
}
