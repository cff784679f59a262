import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserServer

/// What is on its way between client and server while the server changes.
@Suite(.timeLimit(.minutes(2))) struct `The connection of a server that is handed over` {
  @Test func `A message that is cut anywhere is completed with the next server`() throws {
    let relay = try Relay()
    let peer = try relay.peer()
    let whole = Say.write(id: 1, 0)
    for cut in 1..<whole.count {
      let bytes = Say.write(id: UInt16(cut), UInt32(cut) * 0x0101)
      peer.send(Array(bytes[..<cut]))
      try relay.handOver()
      peer.send(Array(bytes[cut...]))
      #expect(try peer.receive().header.id == UInt16(cut))
      let value = try peer.ask(Say.read(id: 1000)).payload.suffix(4)
      #expect(Array(value) == Say.littleEndian(UInt32(cut) * 0x0101), "cut at \(cut)")
    }
  }

  @Test func `A VERSION message that is cut is completed with the next server`() throws {
    let relay = try Relay()
    let version = ServedClient.version
    for cut in [0, 1, 15, 16, 17, 20, version.count - 1] {
      let peer = try relay.peer(negotiated: false)
      peer.send(Array(version[..<cut]))
      // Waits in the kernel while nobody accepts; it may also be handed over before it is accepted.
      try relay.handOver()
      peer.send(Array(version[cut...]))
      #expect(try peer.receive().errno == nil, "cut at \(cut)")
      #expect(try peer.ask(Say.read(id: 3)).header.id == 3)
      peer.socket.shutdown()
    }
  }

  @Test func `The descriptors of a message that is cut stay with it`() throws {
    let relay = try Relay()
    let peer = try relay.peer()
    let file = try TruncatableMemory(size: 0x10000)
    let map = ServedClient.map(0x10000, 0x10000, id: 5)
    var descriptors = DescriptorList()
    descriptors.append(try file.lent())
    peer.send(Array(map[..<7]), descriptors: descriptors)
    try relay.handOver()
    try relay.handOver()
    peer.send(Array(map[7...]))
    #expect(try peer.receive().errno == nil)
    #expect(try peer.ask(Say.enable(id: 6)).errno == nil)
    peer.send(Say.write(id: 7, at: 0x800, 0x20))
    #expect(try peer.receive().header.id == 7)
    #expect(eventually { (try? MappedBytes.first(of: file, at: 0x20)) == 7 })
  }

  /// Large ones fill the socket, so that the rest of them waits in the server.
  @Test(arguments: [(3000, 4), (40, 48 << 10)])
  func `Replies that the client has not read come once and in order`(
    requests: Int, count: UInt32
  ) throws {
    let relay = try Relay()
    let peer = try relay.peer()
    let read = RegionAccess(offset: 0, region: count > 4 ? .bar2 : .bar0, count: count)
    let sent = Monitor(0)
    try DetachedThread.start("requests") { [socket = peer.socket] in
      for number in 0..<requests {
        socket.sendAll(
          message(.regionRead, id: UInt16(number), bytes(of: read)), descriptors: DescriptorList())
        sent.update { $0 += 1 }
      }
    }
    // The sockets of both directions are full now, or everything is on its way.
    var before = -1
    while sent.withLock({ $0 }) != before {
      before = sent.withLock { $0 }
      _ = eventually(within: .milliseconds(100)) { false }
    }
    try relay.handOver()
    try relay.handOver()
    for number in 0..<requests {
      let answer = try peer.receive()
      try #require(answer.header.id == UInt16(number))
      #expect(answer.payload.count == RegionAccess.wireSize + Int(count))
    }
  }

  @Test func `Clients that wait for their turn get it from the next server`() throws {
    let relay = try Relay()
    let first = try relay.peer()
    let second = try relay.peer(negotiated: false)
    second.send(ServedClient.version)
    try relay.handOver()
    #expect(try first.ask(Say.read(id: 9)).header.id == 9)
    first.socket.shutdown()
    #expect(try second.receive().errno == nil)
    #expect(try second.ask(Say.read(id: 10)).header.id == 10)
  }

  @Test func `A client that leaves during the halt is gone for the next server`() throws {
    let relay = try Relay()
    let first = try relay.peer()
    #expect(try first.ask(Say.write(id: 1, 77)).errno == nil)
    first.socket.shutdown()
    // Either the present server sees the end of the stream, or the next one.
    for _ in 0..<3 { try? relay.handOver() }
    let second = try relay.peer()
    #expect(try second.ask(Say.read(id: 2)).errno == nil)
  }

  @Test func `A device without a client is handed over with its state`() throws {
    let relay = try Relay()
    relay.device.registers.update(at: 0) { $0 = 4711 }
    try relay.handOver()
    #expect(relay.device.registers.value(at: 0) == 4711)
    #expect(try relay.peer().ask(Say.read(id: 2)).payload.suffix(4) == Say.littleEndian(4711)[...])
  }
}
