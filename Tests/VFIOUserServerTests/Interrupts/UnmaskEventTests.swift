import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

@Suite struct `The unmask eventfd` {
  let device = TestDevice()
  let client: Client
  let trigger: EventFD
  let unmask: EventFD

  init() throws {
    client = try clientOfTestDevice(device)
    trigger = try EventFD()
    unmask = try EventFD()
    try client.setTrigger(.intx, trigger)
  }

  @Test func `The unmask eventfd unmasks INTx on each signal without being read`() throws {
    try client.setEvent(.unmask, .intx, unmask)
    device.setLevel(true)
    #expect(trigger.wait(for: .seconds(10)) == 1)
    for _ in 0..<100 {
      unmask.signal()
      #expect(trigger.wait(for: .seconds(10)) == 1)
    }
    #expect(unmask.take() == 100)
    device.setLevel(false)
    unmask.signal()
    #expect(trigger.wait(for: .milliseconds(20)) == nil)
  }

  @Test func `An unmask eventfd that was signalled before it was set unmasks INTx`() throws {
    device.setLevel(true)
    #expect(trigger.take() == 1)
    unmask.signal()
    try client.setEvent(.unmask, .intx, unmask)
    #expect(trigger.wait(for: .seconds(10)) == 1)
  }

  @Test func `A second unmask eventfd replaces the first`() throws {
    let second = try EventFD()
    try client.setEvent(.unmask, .intx, unmask)
    try client.setEvent(.unmask, .intx, second)
    device.setLevel(true)
    #expect(trigger.take() == 1)
    unmask.signal()
    #expect(trigger.wait(for: .milliseconds(20)) == nil)
    second.signal()
    #expect(trigger.wait(for: .seconds(10)) == 1)
  }

  @Test func `The unmask eventfd has no effect after the INTx index was disabled`() throws {
    try client.setEvent(.unmask, .intx, unmask)
    try client.disable(.intx)
    try client.setTrigger(.intx, trigger)
    device.setLevel(true)
    #expect(trigger.take() == 1)
    unmask.signal()
    #expect(trigger.wait(for: .milliseconds(20)) == nil)
  }

  /// While the level is high the two would go round and round.
  @Test
  func `One eventfd cannot be both the trigger and the unmask eventfd of INTx, in either order`()
    throws
  {
    let refused = ClientError.refused(.deviceSetIRQs, .invalidArgument)
    #expect(throws: refused) { try client.setEvent(.unmask, .intx, trigger) }
    try client.setEvent(.unmask, .intx, unmask)
    #expect(throws: refused) { try client.setTrigger(.intx, unmask) }
    device.setLevel(true)
    #expect(trigger.wait(for: .seconds(10)) == 1)
    unmask.signal()
    #expect(trigger.wait(for: .seconds(10)) == 1)
  }

  @Test func `A full and blocking unmask eventfd does not block the server`() throws {
    unmask.fillAndBlock()
    try client.setEvent(.unmask, .intx, unmask)
    device.setLevel(true)
    #expect(trigger.wait(for: .seconds(10)) != nil)
    try client.disable(.intx)
    #expect(try client.deviceInfo().regionCount == 9)
  }

  @Test func `Unmask eventfds of disconnected clients leave no descriptor and no thread`() async {
    await #expect(processExitsWith: .success) { try checkThatWatchersEnd() }
  }
}

private func checkThatWatchersEnd() throws {
  let device = TestDevice()
  let descriptors = settledDescriptors()
  let threads = threadsNamed("unmask")
  for _ in 0..<20 {
    let client = try clientOfTestDevice(device)
    for _ in 0..<5 { try client.setEvent(.unmask, .intx, EventFD()) }
    // A thread names itself when it runs.
    #expect(eventually { threadsNamed("unmask") > threads })
    client.disconnect()
  }
  #expect(eventually { device.state.withLock { $0.departures } == 20 })
  #expect(eventually { threadsNamed("unmask") == threads })
  #expect(eventually { openDescriptors() == descriptors })
}
