import Logging
import NVMeDevice
import NVMeDriver
import NVMeProtocol
import Testing
import VFIOUserClient
import VFIOUserServer
import VFIOUserTransport

@Suite(.timeLimit(.minutes(2))) struct `The events that the driver receives` {
  @Test func `The driver does not take a late reply to a timed-out command for an event`() throws {
    var options = NVMeConfiguration(
      namespaces: [NamespaceConfiguration(try StorageFile(memory: 4 << 20))])
    options.logger.logLevel = .critical
    let (device, server) = try serveDisk(options)
    let (mine, theirs) = try MessageSocket.pair()
    try DetachedThread.start("server") { server.serve(theirs) }
    defer { device.close() }
    let controller = try NVMeController(Client(mine))
    defer { controller.client.disconnect() }
    try controller.enable()
    let admin = try #require(controller.admin)
    var late = SubmissionEntry(opcode: AdminOpcode.getFeatures.rawValue)
    late.dword10 = UInt32(Feature.numberOfQueues.rawValue)
    // Its answer comes in front of the one that is waited for.
    _ = try admin.submit(late)
    _ = try controller.feature(.arbitration)
    #expect(controller.takeEvent() == nil)
    // And while an event is waited for.
    try controller.requestEvent()
    _ = try admin.submit(late)
    try admin.ring()
    #expect(try controller.nextEvent(within: .milliseconds(200)) == nil)
    #expect(admin.inFlight == 1)
  }
}
