import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserServer
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
}
