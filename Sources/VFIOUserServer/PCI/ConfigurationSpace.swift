internal import LinuxPrimitives
internal import SystemPackage

/// Configuration space, readable and writable at any offset and width.
///
/// It is a ``RegisterFile``: each register is one line of a description, with a hook for the effects of a
/// write (on interrupts, or a reset). BAR sizing needs no code: it follows from the writable bits.
final class ConfigurationSpace: Sendable {
  /// Offsets of the header (PCI 3.0, figure 6-1).
  enum Offset {
    static let command: UInt64 = 0x04
    static let status: UInt64 = 0x06
    static let bars: UInt64 = 0x10
    static let expansionROM: UInt64 = 0x30
    static let capabilities: UInt64 = 0x34
    static let interruptPin: UInt64 = 0x3D
  }

  let registers: RegisterFile
  private let powerOffset: UInt64?
  /// Offsets of the registers that the device has described in its capabilities.
  private let own: [String: UInt64]
  /// The same without the names; the device changes all bits of these.
  let ownOffsets: Set<UInt64>
  private let resetRequest: ResetRequest

  /// Whether a write has requested a reset, which happens after the whole access.
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

  /// Size in bytes.
  var size: Int { registers.size }

  /// Makes configuration space; its hooks use `interrupts` and, for the bus master bit, `memory`.
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
    ownOffsets = Set(own.values)
    self.resetRequest = resetRequest
    powerOffset = layout.offset { if case .powerManagement = $0 { true } else { false } }
  }

  /// Reads any number of bytes from any offset.
  func read(at offset: UInt64, into bytes: inout MutableRawSpan) {
    registers.read(at: offset, into: &bytes)
  }

  /// Writes any number of bytes to any offset; read-only bits keep their value.
  ///
  /// - Returns: whether the write requests a reset of the function, and the error of a hook of the device;
  ///   the registers before that one are written.
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

  /// The value of a register in one of the device's own capabilities.
  func value(of name: String) -> UInt64? { own[name].flatMap { registers.value(at: $0) } }

  /// Changes a register in one of the device's own capabilities.
  func update(_ name: String, _ body: (inout UInt64) -> Void) -> UInt64? {
    own[name].flatMap { registers.update(at: $0, body) }
  }

  /// Sets all registers to their reset values.
  func reset() { registers.reset() }
}

extension PCILayout {
  /// Offset of the first capability that satisfies a condition.
  func offset(where fits: (PCICapability) -> Bool) -> UInt64? {
    capabilities.first { fits($0.capability) }?.offset
  }

  /// Offsets of the registers that the device has described in its capabilities, by name.
  fileprivate func ownRegisters() throws(PCIDescription.ValidationError) -> [String: UInt64] {
    var places: [String: UInt64] = [:]
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
