import NVMeProtocol
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

@testable import NVMeDevice

@Suite struct `Bus master of an NVMe controller` {
  private func phase(of host: TestHost) -> ControllerPhase {
    let controller = host.device.controller
    return controller.turn.withLock { _ in controller.lifeCycle.phase }
  }

  private func clearBusMaster(_ host: TestHost) throws {
    try host.client.store(PCICommand.memory.rawValue, .configuration, at: 4)
  }

  @Test(arguments: [true, false])
  func `A controller without bus master serves no command until the bit is set`(isShared: Bool)
    throws
  {
    let host = try TestHost(isShared: isShared)
    try host.enable()
    var queue = try host.makeQueue()
    for _ in 0..<3 {
      try clearBusMaster(host)
      let id = host.put(.io(.read), &queue)
      try host.ring(queue)
      #expect(eventually { phase(of: host) == .paused })
      #expect(host.status.isReady && !host.status.isFatal && host.poll(&queue) == nil)
      try host.client.enable([.busMaster])
      let completion = try host.next(&queue)
      #expect(completion.commandID == id && completion.status == .success)
    }
  }

  @Test func `A completion without bus master is posted once the bit is set`() throws {
    let engine = HeldEngine()
    let host = try TestHost { $0.makeEngine = { engine } }
    try host.enable()
    var queue = try host.makeQueue()
    let ids = [host.put(.io(.verify), &queue), host.put(.io(.verify, block: 8), &queue)]
    try host.ring(queue)
    try #require(eventually { engine.held.count == 2 })
    try clearBusMaster(host)
    engine.letGo()
    #expect(eventually { phase(of: host) == .paused })
    #expect(host.poll(&queue) == nil && !host.status.isFatal)
    try host.client.enable([.busMaster])
    let completions = [try host.next(&queue), try host.next(&queue)]
    #expect(Set(completions.map(\.commandID)) == Set(ids))
    #expect(completions.allSatisfy { $0.status == .success })
  }

  @Test func `A controller that is enabled without bus master becomes ready and serves later`()
    throws
  {
    let host = try TestHost()
    try host.client.reset()
    try host.enable()
    host.put(.identify(.controller), &host.admin)
    try host.ring(host.admin)
    #expect(eventually { phase(of: host) == .paused })
    #expect(host.status.isReady && !host.status.isFatal)
    try host.client.enable([.memory, .busMaster])
    #expect(try host.next(&host.admin).status == .success)
  }

  @Test func `A controller without bus master can be disabled and enabled again`() throws {
    let host = try TestHost()
    try host.enable()
    try clearBusMaster(host)
    try host.ring(host.admin)
    host.put(.identify(.controller), &host.admin)
    try host.ring(host.admin)
    #expect(eventually { phase(of: host) == .paused })
    try host.disable()
    try host.client.enable([.busMaster])
    try host.enable()
    #expect(try host.run(.identify(.controller)).status == .success)
  }

  @Test func `Another client that sets bus master does not continue without a doorbell`() throws {
    let host = try TestHost()
    try host.enable()
    var queue = try host.makeQueue()
    try host.reconnect(keepingMemory: true)
    #expect(eventually { phase(of: host) == .paused })
    try host.client.enable([.busMaster])
    #expect(eventually { !host.device.controller.mailbox.holdsEvents })
    #expect(phase(of: host) == .paused)
    #expect(try host.run(.io(.read), &queue).status == .success)
  }
}
