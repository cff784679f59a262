import Testing
import VFIOUserTesting

@Suite struct `A device under test in the same process` {
  @Test func `A device is driven by one client after the other without a path`() throws {
    let server = try DeviceServer(ContextDevice.pci) { try ContextDevice($0) }
    for turn in 1...3 as ClosedRange<UInt32> {
      let client = try server.connect()
      try client.store(turn, .bar0, at: 0x0C)
      #expect(try client.load(.bar0, at: 0x0C, as: UInt32.self) == turn)
      client.disconnect()
    }
  }

  @Test func `A device goes on from the state of another one in two calls`() throws {
    let source = try DeviceServer(HelloLike.pci) { try HelloLike($0) }
    let target = try DeviceServer(HelloLike.pci) { try HelloLike($0) }
    let (before, after) = (try source.connect(), try target.connect())
    try before.store(UInt32(0x1000), .bar0, at: 8)
    try after.loadState(before.saveState())
    #expect(try after.load(.bar0, at: 8, as: UInt32.self) == 0x1000)
    #expect(try before.migrationState() == .stopCopy)
    #expect(try after.migrationState() == .running)
  }
}

/// A register that is saved.
private final class HelloLike: SavableDevice {
  static let pci = PCIDescription(
    identity: PCIIdentity(
      vendor: 0x1234, device: 0x0003,
      classCode: PCIClass(base: 0xFF, sub: 0, programmingInterface: 0)),
    bars: [0: BaseAddressRegister(.memory32(prefetchable: false), size: 4096)])

  private let registers: RegisterFile

  init(_ context: DeviceContext) throws {
    registers = try RegisterFile(
      size: 4096, [Register("value", at: 8, .bits32, writable: 0xFFFF_FFFF)])
  }

  func read(_ access: RegionAccess, into bytes: inout MutableRawSpan) throws(Errno) {
    registers.read(at: access.offset, into: &bytes)
  }

  func write(_ access: RegionAccess, from bytes: Span<UInt8>) throws(Errno) {
    try registers.write(at: access.offset, from: bytes)
  }

  func reset() { registers.reset() }
  func save() -> RegisterFile.Contents { registers.contents }
  func load(_ saved: RegisterFile.Contents) throws(StateError) { try registers.load(saved) }
}
