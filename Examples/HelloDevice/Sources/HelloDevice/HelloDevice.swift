import VFIOUserProgram

/// Writes a greeting to guest memory, and interrupts when it is there.
final class HelloDevice: SavableDevice {
  static let pci = PCIDescription(
    identity: PCIIdentity(
      vendor: 0x1234, device: 0x0001,
      classCode: PCIClass(base: 0xFF, sub: 0, programmingInterface: 0)),
    bars: [0: BaseAddressRegister(.memory32(prefetchable: false), size: 4096)],
    hasInterruptPin: true)

  private let registers: RegisterFile

  init(_ context: DeviceContext) throws {
    let address = Register("address", at: 0x08, .bits64, writable: .max)
    let greeted = Register(
      "greeted", at: 0x14, .bits32, clearedByOne: 1, interrupt: context.interrupts.source())
    let failed = Register("failed", at: 0x18, .bits32, clearedByOne: 1)
    let greet = Register("greet", at: 0x10, .bits32) { write, registers throws(Errno) in
      guard write.written & 1 != 0 else { return }
      let place = registers[address]
      // The guest waits for the reply to its write; what may have to wait for the guest comes after it.
      try context.afterReply { memory in
        let isWritten = (try? memory.write(at: place, from: Array("Hello, guest!".utf8))) != nil
        memory.ifCurrent { registers[isWritten ? greeted : failed] = 1 }
      }
    }
    let identity = Register("identity", at: 0x00, .bits32, reset: 0x6F6C_6548)
    registers = try RegisterFile(size: 4096, [identity, address, greet, greeted, failed])
  }

  func read(_ access: RegionAccess, into bytes: inout MutableRawSpan) throws(Errno) {
    registers.read(at: access.offset, into: &bytes)
  }

  func write(_ access: RegionAccess, from bytes: Span<UInt8>) throws(Errno) {
    try registers.write(at: access.offset, from: bytes)
  }

  func reset() { registers.reset() }
  func clientLeft() { registers.reset() }
  func save() -> RegisterFile.Contents { registers.contents }
  func load(_ saved: RegisterFile.Contents) throws(StateError) { try registers.load(saved) }
}

@main struct HelloProgram: DeviceProgram {
  func makeDevice() -> ServedDevice { ServedDevice(HelloDevice.pci) { try HelloDevice($0) } }
}
