import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserServer

/// The client's memory while the server changes.
@Suite(.timeLimit(.minutes(2))) struct `The memory of a client whose server is handed over` {
  @Test func `Windows of any kind are the same for the next server`() throws {
    let relay = try Relay()
    let peer = try relay.peer()
    let file = try TruncatableMemory(size: 0x10000)
    try lend(peer, file, 0x10000, 0x4000, offset: 0)
    try lend(peer, file, 0x20000, 0x4000, offset: 0x4000)
    #expect(try peer.ask(ServedClient.map(0x40000, 0x1000, id: 3)).errno == nil)
    let readOnly = DMAMap(flags: .readable, address: 0x50000, size: 0x1000)
    #expect(try peer.ask(message(.dmaMap, id: 4, bytes(of: readOnly))).errno == nil)
    #expect(try peer.ask(Say.enable(id: 5)).errno == nil)
    for round in 1...3 as ClosedRange<UInt32> {
      try relay.handOver()
      #expect(relay.device.context.memory.windowCount == 4)
      let memory = relay.device.context.memory.access()
      try memory.store(round, at: 0x10000)
      try memory.store(round + 10, at: 0x20000)
      #expect(try MappedBytes.first(of: file, at: 0) == UInt8(round))
      #expect(try MappedBytes.first(of: file, at: 0x4000) == UInt8(round + 10))
      #expect(throws: MemoryError.self) { try memory.store(round, at: 0x50000) }
    }
    for (address, size) in [(0x10000, 0x4000), (0x20000, 0x4000), (0x40000, 0x1000)] {
      let unmap = DMAUnmap(address: UInt64(address), size: UInt64(size))
      #expect(try peer.ask(message(.dmaUnmap, id: 6, bytes(of: unmap))).errno == nil)
    }
    #expect(relay.device.context.memory.windowCount == 1)
  }

  @Test func `A DMA_UNMAP that waits is carried out once, and what waits behind it in order`()
    throws
  {
    let relay = try Relay { $0.quiesceTimeout = .seconds(600) }
    let peer = try relay.peer()
    let file = try TruncatableMemory(size: 0x10000)
    try lend(peer, file, 0x10000, 0x10000, offset: 0)
    #expect(try peer.ask(Say.enable(id: 5)).errno == nil)
    let holder = Holder()
    try holder.pin(
      GuestRange(address: 0x10000, count: 16), for: .reading,
      of: relay.device.context.memory.access())
    peer.send(
      ServedClient.unmap(id: 10) + ServedClient.unmap(id: 11) + Say.read(id: 12)
        + ServedClient.map(0x10000, 0x1000, id: 13) + Say.read(id: 14))
    #expect(throws: StreamError.self) { try peer.receive(within: .milliseconds(50)) }
    // The device has come to rest when it is recorded: it holds nothing then.
    try relay.handOver()
    let missing = UInt32(Errno.noSuchFileOrDirectory.rawValue)
    let answers = try (0..<5).map { _ in try peer.receive() }
    #expect(answers.map(\.header.id) == [10, 11, 12, 13, 14])
    #expect(answers.map(\.errno) == [nil, missing, nil, nil, nil])
    holder.release()
  }

  @Test func `A halt waits for the reply to a DMA message that comes in time`() throws {
    let relay = try Relay()
    let peer = try relay.peer()
    let request = try dmaMessage(to: peer)
    let socket = peer.socket
    try DetachedThread.start("answer") {
      _ = eventually(within: .milliseconds(200)) { false }
      socket.sendAll(
        message(.dmaWrite, id: request.header.id, flags: .reply, Array(request.payload.prefix(16))),
        descriptors: DescriptorList())
    }
    try relay.handOver()
    #expect(try peer.ask(Say.read(id: 6, at: 8)).payload.suffix(4) == [1, 0, 0, 0])
  }

  @Test func `A halt is given up when no reply to a DMA message comes, and nothing is lost`() throws
  {
    let relay = try Relay()
    let peer = try relay.peer()
    let request = try dmaMessage(to: peer)
    for round in 0..<2 as Range<UInt16> {
      #expect(throws: HandoverError.self) { try relay.handOver(within: .milliseconds(300)) }
      #expect(try peer.ask(Say.read(id: 20 + round)).header.id == 20 + round)
    }
    peer.send(
      message(.dmaWrite, id: request.header.id, flags: .reply, Array(request.payload.prefix(16))))
    #expect(eventually { relay.device.registers.value(at: 8) == 1 })
    try relay.handOver()
    #expect(try peer.ask(Say.read(id: 6, at: 8)).payload.suffix(4) == [1, 0, 0, 0])
  }

  @Test func `A client with memory in 64 files is handed over, one with 65 is not`() throws {
    let relay = try Relay()
    let peer = try relay.peer()
    let files = try (0..<65).map { _ in try TruncatableMemory(size: 0x1000) }
    for (number, file) in files.dropLast().enumerated() {
      try lend(peer, file, UInt64(number + 1) << 16, 0x1000, offset: 0)
    }
    try relay.handOver()
    try lend(peer, files[64], 0x1000_0000, 0x1000, offset: 0)
    #expect { try relay.handOver() } throws: { "\($0)".contains("in more than 64 files") }
    #expect(try peer.ask(Say.read(id: 6)).errno == nil)
    let unmap = DMAUnmap(address: 0x1000_0000, size: 0x1000)
    #expect(try peer.ask(message(.dmaUnmap, id: 6, bytes(of: unmap))).errno == nil)
    try relay.handOver()
    #expect(relay.device.context.memory.windowCount == 64)
  }

  @Test func `The memory of a region that the client has mapped stays the same`() throws {
    let relay = try Relay()
    let client = try relay.client()
    let region = try client.mapRegion(.bar2)
    try region.store(UInt32(0x1234_5678), at: 0x100)
    for round in 0..<3 as Range<UInt32> {
      try relay.handOver()
      #expect(try client.load(.bar2, at: 0x100) == 0x1234_5678 as UInt32)
      try client.store(round, .bar2, at: 0x200)
      #expect(try region.load(at: 0x200) == round)
    }
    client.disconnect()
  }

  /// Has the device write to memory that it reaches by messages.
  ///
  /// - Returns: its message, which is not answered.
  private func dmaMessage(to peer: ScriptedPeer) throws -> ScriptedPeer.Answer {
    #expect(try peer.ask(ServedClient.map(0x10000, 0x1000, id: 3)).errno == nil)
    #expect(try peer.ask(Say.enable(id: 4)).errno == nil)
    peer.send(Say.write(id: 5, at: 0x800, 0x10))
    #expect(try peer.receive().header.id == 5)
    let request = try peer.receive()
    #expect(request.header.command == .dmaWrite)
    return request
  }

  private func lend(
    _ peer: ScriptedPeer, _ file: TruncatableMemory, _ address: UInt64, _ size: UInt64,
    offset: UInt64
  ) throws {
    let map = DMAMap(
      flags: [.readable, .writable], offset: offset, address: address, size: size)
    var descriptors = DescriptorList()
    descriptors.append(try file.lent())
    let answer = try peer.ask(message(.dmaMap, id: 1, bytes(of: map)), descriptors: descriptors)
    #expect(answer.errno == nil)
  }
}

/// A byte of a file.
enum MappedBytes {
  static func first(of file: TruncatableMemory, at offset: Int) throws -> UInt8 {
    try #require(MappedFile(try file.lent()))[offset]
  }
}
