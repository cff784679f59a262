import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

@Suite struct `An interrupt for a disconnected client` {
  @Test func `An interrupt for a disconnected client does not reach the next client`() throws {
    let bench = try Bench()
    let first = try bench.client()
    let eventfd = try EventFD()
    // Answered, so that the device knows of the client: what begins before that is for nobody.
    try first.setTrigger(.msix, vector: 3, eventfd)
    let old = try bench.device.bus.memory.access()
    try bench.device.bus.interrupts.signal(.msix, vector: 3, for: old)
    #expect(eventfd.take() == 1)
    first.disconnect()
    let device = bench.device
    #expect(eventually { device.state.withLock { $0.departures } == 1 })
    let between = try bench.device.bus.memory.access()
    let second = try bench.client()
    try second.setTrigger(.msix, vector: 3, eventfd)
    for transfer in [old, between] {
      try bench.device.bus.interrupts.signal(.msix, vector: 3, for: transfer)
    }
    #expect(eventfd.take() == 0)
    let own = try bench.device.bus.memory.access()
    try bench.device.bus.interrupts.signal(.msix, vector: 3, for: own)
    #expect(eventfd.take() == 1)
  }
}
