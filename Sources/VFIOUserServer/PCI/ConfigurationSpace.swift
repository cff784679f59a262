internal import LinuxPrimitives
internal import SystemPackage

/// The space by which software finds and switches a PCI device, readable and writable at any offset
/// and width.
///
/// It is a ``RegisterFile`` like any other: each register is one line of its description, and what a
/// write brings about (an interrupt gated or masked, a reset) is a hook in that line. Sizing of the
/// BARs follows from the bits that can be written by itself.
final class ConfigurationSpace: Sendable {
  /// Offsets of the header (PCI 3.0, figure 6-1).
  enum Offset {
    static let command = 0x04
    static let status = 0x06
    static let bars = 0x10
    static let expansionROM = 0x30
    static let capabilities = 0x34
    static let interruptPin = 0x3D
  }

  private let registers: RegisterFile
  private let powerOffset: Int?
  /// Where the registers are that the device has described in its capabilities.
  private let own: [String: Int]
  private let resetRequest: ResetRequest

  /// Whether a write has asked for a reset; the reset happens when the whole access is through.
  final class ResetRequest: Sendable {
    private let state = Monitor(false)
    func make() { state.withLock { $0 = true } }
    func take() -> Bool {
      state.withLock { state in
        defer { state = false }
        return state
      }
    }
  }

  /// Bytes of the space.
  var size: Int { registers.size }

  /// Lays the space out; writes that concern interrupts reach `interrupts`, the bus master bit `memory`.
  init(
    _ description: PCIDescription, _ layout: PCILayout, _ interrupts: Interrupts,
    _ memory: GuestMemory
  ) throws(PCIDescription.ValidationError) {
    let resetRequest = ResetRequest()
    var lines = Register.header(
      description.identity, hasCapabilities: !layout.capabilities.isEmpty, interrupts,
      memory)
    lines += Register.windows(layout.bars, description.expansionROM?.count)
    lines += Register.capabilities(layout, interrupts, resetRequest)
    lines += Register.extendedCapabilities(layout)
    lines.append(
      Register("interrupt pin", at: Offset.interruptPin, .bits8, reset: interrupts.hasINTx ? 1 : 0))
    do {
      registers = try RegisterFile(size: layout.configurationSize, lines, hasUniqueNames: false)
    } catch {
      throw .registers(error)
    }
    own = try layout.ownRegisters()
    self.resetRequest = resetRequest
    powerOffset = layout.offset { if case .powerManagement = $0 { true } else { false } }
  }

  /// Reads any number of bytes from any offset.
  func read(at offset: UInt64, into bytes: inout MutableRawSpan) {
    registers.read(at: offset, into: &bytes)
  }

  /// Writes any number of bytes to any offset; bits that cannot be written keep their value.
  ///
  /// - Returns: whether the write asks for a reset of the function, and what a hook of the device has thrown:
  ///   the registers in front of it are written nevertheless.
  func write(
    at offset: UInt64, from bytes: Span<UInt8>
  ) -> (asksForReset: Bool, failure: Errno?) {
    var failure: Errno?
    do { try registers.write(at: offset, from: bytes) } catch { failure = error }
    return (resetRequest.take(), failure)
  }

  /// The power state that software has chosen, 0 for D0 to 3 for D3hot.
  var powerState: Int {
    guard let powerOffset, let status = registers.value(at: powerOffset + 4) else { return 0 }
    return Int(status & 0b11)
  }

  /// The command register.
  var command: UInt16 {
    UInt16(truncatingIfNeeded: registers.value(at: Offset.command) ?? 0)
  }

  /// What a register of one of the device's own capabilities holds.
  func value(of name: String) -> UInt64? { own[name].flatMap { registers.value(at: $0) } }

  /// Changes a register of one of the device's own capabilities.
  func update(_ name: String, _ body: (inout UInt64) -> Void) -> UInt64? {
    own[name].flatMap { registers.update(at: $0, body) }
  }

  /// Back to the reset values.
  func reset() { registers.reset() }
}

extension PCILayout {
  /// Where the first capability is that fits.
  func offset(where fits: (PCICapability) -> Bool) -> Int? {
    capabilities.first { fits($0.capability) }?.offset
  }

  /// Where the registers are that the device has described in its capabilities, by name.
  fileprivate func ownRegisters() throws(PCIDescription.ValidationError) -> [String: Int] {
    var places: [String: Int] = [:]
    let described =
      capabilities.map { ($0.offset, $0.capability.registers) }
      + extendedCapabilities.map { ($0.offset, $0.capability.registers) }
    for (offset, registers) in described {
      for register in registers {
        guard places.updateValue(offset + register.offset, forKey: register.name) == nil else {
          throw .repeatedRegister(register.name)
        }
      }
    }
    return places
  }
}
