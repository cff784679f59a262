import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserServer

@Suite struct `Configuration space` {
  let client: Client
  init() throws { client = try clientOfTestDevice(TestDevice()) }

  @Test func `Configuration space contains the identity of the device`() throws {
    let space = try client.read(.configuration, at: 0, count: 256)
    #expect(space[0..<4] == [0x34, 0x12, 0x78, 0x56])
    #expect(space[8..<12] == [9, 0x02, 0x01, 0xFF])
    #expect(space[0x2C..<0x30] == [0xAA, 0xAA, 0xBB, 0xBB])
    #expect(space[0x3D] == 1)
  }

  @Test(arguments: [1, 2, 3, 4, 7, 8, 64, 256])
  func `Configuration space can be read in accesses of any width`(width: Int) throws {
    let whole = try client.read(.configuration, at: 0, count: 256)
    var pieces: [UInt8] = []
    while pieces.count < 256 {
      pieces += try client.read(
        .configuration, at: UInt64(pieces.count), count: min(width, 256 - pieces.count))
    }
    #expect(pieces == whole)
  }

  @Test func `BARs report their size after all ones are written`() throws {
    try client.write(.configuration, at: 0x10, from: [UInt8](repeating: 0xFF, count: 24))
    #expect(try client.load(.configuration, at: 0x10, as: UInt32.self) == 0xFFFF_FF01)
    #expect(try client.load(.configuration, at: 0x14, as: UInt32.self) == 0)
    #expect(try client.load(.configuration, at: 0x18, as: UInt32.self) == 0xFFFF_0008)
    #expect(try client.load(.configuration, at: 0x1C, as: UInt32.self) == 0)
    #expect(try client.load(.configuration, at: 0x20, as: UInt64.self) == 0xFFFF_FFFF_FFE0_0004)
  }

  @Test func `A BAR address can be written byte by byte`() throws {
    let address: [UInt8] = [0x00, 0x10, 0xAB, 0xFE]
    for offset in address.indices {
      try client.write(.configuration, at: 0x18 + UInt64(offset), from: [address[offset]])
    }
    #expect(try client.load(.configuration, at: 0x18, as: UInt32.self) == 0xFEAB_0008)
  }

  @Test func `Read-only bytes of configuration space ignore writes`() throws {
    let before = try client.read(.configuration, at: 0, count: 256)
    try client.write(.configuration, at: 0, from: [UInt8](repeating: 0, count: 4))
    try client.write(.configuration, at: 0x40, from: [UInt8](repeating: 0xFF, count: 192))
    #expect(try client.read(.configuration, at: 0, count: 256) == before)
  }

  @Test func `Only implemented bits of the PCI command register are writable`() throws {
    try client.store(UInt16.max, .configuration, at: 4)
    #expect(try client.load(.configuration, at: 4, as: UInt16.self) == 0x0547)
  }
}

private final class Described: PluggedDevice {
  let pci: PCIDescription
  init(_ bars: [Int: BaseAddressRegister]) {
    pci = PCIDescription(
      identity: PCIIdentity(
        vendor: 1, device: 1, classCode: PCIClass(base: 0, sub: 0, programmingInterface: 0)),
      bars: bars)
  }
  func read(_ access: RegionAccess, into bytes: inout MutableRawSpan) {}
  func write(_ access: RegionAccess, from bytes: Span<UInt8>) {}
  func reset() {}
}

@Suite struct `A device description` {
  func flaw(_ bars: [Int: BaseAddressRegister]) -> PCIDescription.ValidationError? {
    do {
      _ = try DeviceServer(Described(bars))
      return nil
    } catch {
      return error as? PCIDescription.ValidationError
    }
  }

  @Test func `A device description with contradictory BARs is refused`() {
    #expect(flaw([6: .init(.io, size: 8)]) == .noSuchBAR(6))
    #expect(
      flaw([5: .init(.memory64(prefetchable: false), size: 4096)]) == .noRoomForUpperHalf(bar: 5))
    #expect(
      flaw([0: .init(.memory64(prefetchable: false), size: 4096), 1: .init(.io, size: 8)])
        == .noRoomForUpperHalf(bar: 0))
    #expect(flaw([0: .init(.io, size: 2)]) == .badSize(bar: 0, size: 2, allowed: 4...256))
    #expect(flaw([0: .init(.io, size: 512)]) == .badSize(bar: 0, size: 512, allowed: 4...256))
    #expect(
      flaw([0: .init(.memory32(prefetchable: false), size: 4097)])
        == .badSize(bar: 0, size: 4097, allowed: 16...1 << 31))
    #expect(flaw([0: .init(.memory64(prefetchable: false), size: 1 << 63)]) == nil)
  }
}
