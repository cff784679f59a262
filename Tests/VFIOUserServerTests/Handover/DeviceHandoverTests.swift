import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserServer

/// The device and its interrupts while the server changes.
@Suite(.timeLimit(.minutes(2))) struct `A device that is handed over` {
  @Test func `The triggers of all vectors are the same for the next server`() throws {
    let relay = try Relay()
    let client = try relay.client()
    let counters = try (0..<70).map { _ in try EventFD() }
    try client.setTriggers(.msix, counters)
    let intx = try EventFD()
    try client.setTrigger(.intx, intx)
    for _ in 0..<2 {
      try relay.handOver()
      for (number, counter) in counters.enumerated() {
        relay.device.context.interrupts.signal(.msix, vector: number)
        #expect(counter.take() == 1, "vector \(number)")
      }
    }
    client.disconnect()
  }

  @Test func `INTx stays masked, and comes when it is unmasked`() throws {
    let relay = try Relay()
    let client = try relay.client()
    let counter = try EventFD()
    try client.setTrigger(.intx, counter)
    try client.setMask(true, on: .intx)
    try relay.handOver()
    // The event register drives the pin.
    relay.device.registers.update(at: 4) { $0 = 1 }
    #expect(counter.wait(for: .milliseconds(20)) == nil)
    try relay.handOver()
    #expect(counter.wait(for: .milliseconds(20)) == nil)
    try client.setMask(false, on: .intx)
    #expect(counter.wait(for: .seconds(10)) == 1)
    client.disconnect()
  }

  @Test func `A device that cannot be saved goes on, and is handed over when it can`() throws {
    let relay = try Relay()
    let peer = try relay.peer()
    #expect(try peer.ask(Say.write(id: 1, 0xDEAD)).errno == nil)
    for _ in 0..<2 {
      #expect { try relay.handOver() } throws: { "\($0)".contains("this cannot be saved") }
      #expect(try peer.ask(Say.read(id: 2)).payload.suffix(4) == [0xAD, 0xDE, 0, 0])
    }
    #expect(
      relay.device.calls.withLock { $0 } == ["suspend", "save", "resume"] + [
        "suspend", "save", "resume",
      ])
    #expect(try peer.ask(Say.write(id: 3, 1)).errno == nil)
    try relay.handOver()
    #expect(try peer.ask(Say.read(id: 4)).payload.suffix(4) == [1, 0, 0, 0])
  }

  @Test func `A state that the next device refuses leaves the present one as it was`() throws {
    let relay = try Relay()
    let peer = try relay.peer()
    #expect(try peer.ask(Say.write(id: 1, 0xBAD)).errno == nil)
    for round in 0..<3 as Range<UInt16> {
      #expect { try relay.handOver() } throws: { "\($0)".contains("this state is refused") }
      #expect(try peer.ask(Say.read(id: round)).header.id == round)
    }
  }

  @Test func `A device is not handed over in the middle of a migration`() throws {
    let relay = try Relay()
    let client = try relay.client()
    try client.setMigrationState(.stop)
    #expect { try relay.handOver() } throws: { "\($0)".contains("a migration of the device") }
    try client.setMigrationState(.running)
    try relay.handOver()
    _ = try client.startDMALogging(pageSize: 4096)
    #expect { try relay.handOver() } throws: { "\($0)".contains("a migration of the device") }
    try client.stopDMALogging()
    try relay.handOver()
    client.disconnect()
  }

  /// The threads need not have seen the end of one halt when the next one begins.
  @Test func `A halt may follow another at once, a hundred times`() throws {
    let relay = try Relay()
    let client = try relay.client()
    let unmask = try EventFD()
    try client.setEvent(.unmask, .intx, unmask)
    for _ in 0..<100 { try relay.halt() }
    try client.store(UInt32(7), .bar0, at: 0)
    try relay.handOver()
    #expect(try client.load(.bar0, at: 0) == UInt32(7))
    client.disconnect()
  }

  @Test func `A device whose suspension does not end goes on when the deadline passes`() throws {
    let (device, server) = try plug(Movable.pci(), ServerOptions()) {
      try Movable($0, waitsInSuspend: true)
    }
    let path = socketPath()
    let listener = try ListeningSocket(path: path)
    try server.start(on: listener) { _ in }
    let peer = ScriptedPeer(try MessageSocket(connectingTo: path))
    _ = try peer.ask(ServedClient.version)
    for round in 0..<2 as Range<UInt16> {
      let handover = try ServerHandover(server, listener)
      #expect {
        _ = try Relay.halt(handover, before: .after(.milliseconds(100)))
      } throws: { "\($0)".contains("does not come to rest") }
      handover.end()
      #expect(try peer.ask(Say.read(id: round)).header.id == round)
    }
    #expect(device.calls.withLock { $0 } == ["suspend", "resume", "suspend", "resume"])
    server.stop()
  }
}
