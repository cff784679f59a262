/// The registers in BAR 0.
enum ScratchRegisters {
  /// Bytes of the region.
  static let size = 4096
  /// Offset of the control register.
  static let control: UInt64 = 0x28
  /// Offset of the doorbell.
  static let doorbell: UInt64 = 0x2C

  /// Makes the registers; writes are passed to the engine, and registers that the engine changes are read
  /// from it.
  static func file(for engine: CopyEngine) throws(RegisterFile.ValidationError) -> RegisterFile {
    return try RegisterFile(
      size: size,
      [
        Register("identity", at: 0x00, .bits32, reset: 0x4152_4353),
        Register("version", at: 0x04, .bits32, reset: 1),
        Register("scratch", at: 0x08, .bits64, writable: .max),
        Register(
          "source", at: 0x10, .bits64, writable: .max,
          onWrite: { write in engine.set { $0.source = write.value } }),
        Register(
          "destination", at: 0x18, .bits64, writable: .max,
          onWrite: { write in engine.set { $0.destination = write.value } }),
        Register(
          "count", at: 0x20, .bits64, writable: .max,
          onWrite: { write in engine.set { $0.count = write.value } }),
        Register(
          "control", at: control, .bits32, writable: UInt64(CopyRequest.Control.known.rawValue),
          onWrite: { write in
            engine.set { $0.control = .init(rawValue: UInt32(truncatingIfNeeded: write.value)) }
          }),
        Register("doorbell", at: doorbell, .bits32, onWrite: { _ in engine.ring() }),
        Register("status", at: 0x30, .bits32, onRead: { _ in UInt64(engine.status.waiting) }),
        Register("error", at: 0x34, .bits32, onRead: { _ in UInt64(engine.status.error) }),
        Register("completed", at: 0x38, .bits64, onRead: { _ in engine.status.completed }),
        Register(
          "raise", at: 0x40, .bits32,
          onWrite: { engine.raise(vector: UInt32(truncatingIfNeeded: $0.written)) }),
        Register(
          "interrupts", at: 0x44, .bits32, onRead: { _ in UInt64(engine.status.interrupts) },
          onWrite: { engine.acknowledge(UInt32(truncatingIfNeeded: $0.written)) }),
      ])
  }

  /// The copy that the registers describe.
  static func request(in file: RegisterFile) -> CopyRequest {
    CopyRequest(
      source: file.value(at: 0x10) ?? 0, destination: file.value(at: 0x18) ?? 0,
      count: file.value(at: 0x20) ?? 0,
      control: .init(rawValue: UInt32(truncatingIfNeeded: file.value(at: control) ?? 0)))
  }

  /// Disables the doorbell's descriptor.
  static func forgetDescriptor(in file: RegisterFile) {
    let bit = UInt64(CopyRequest.Control.enablesDescriptor.rawValue)
    file.update(at: control) { $0 &= ~bit }
  }
}
