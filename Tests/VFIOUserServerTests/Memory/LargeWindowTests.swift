import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

@Suite struct `A BAR larger than 4 GiB` {
  @Test(arguments: [RegionBacking.callbacks, .memory(mappable: .nothing)])
  func `A 64-bit BAR of 8 GiB can be sized, placed and accessed`(_ backing: RegionBacking) throws {
    var description = FullDevice.description
    description.bars = [
      2: BaseAddressRegister(.memory64(prefetchable: true), size: 8 << 30, backing: backing)
    ]
    description.ioEventAreas = []
    description.capabilities = []
    let client = try Bench(FullDevice(description)).client()
    try client.store(UInt64.max, .configuration, at: 0x18)
    #expect(try client.load(.configuration, at: 0x18, as: UInt64.self) == 0xFFFF_FFFE_0000_000C)
    try client.store(UInt64(0x12_3400_0000_0000), .configuration, at: 0x18)
    #expect(
      try client.load(.configuration, at: 0x18, as: UInt64.self) == 0x12_3400_0000_000C)
    #expect(try client.region(.bar2).size == 8 << 30)
    try client.write(.bar2, at: 5 << 30, from: [1, 2, 3])
    let expected: [UInt8] = backing == .callbacks ? [0, 1, 2] : [1, 2, 3]
    #expect(try client.read(.bar2, at: 5 << 30, count: 3) == expected)
    #expect(try client.read(.bar2, at: 8 << 30 - 1, count: 1).count == 1)
  }
}
