import CLinux
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

private func list(_ sockets: [LingeringSocket], from sender: PeerDescriptors) -> DescriptorList {
  DescriptorList(adopting: sockets.map { $0.take().release() }, from: sender)
}

@Suite struct `Descriptors that a peer sent` {
  @Test func `Memory files and eventfds of a peer are closed on the thread that releases them`()
    async
  {
    await #expect(processExitsWith: .success) {
      let counter = try EventFD()
      _ = EventFD.isCounter(counter.descriptor)
      let before = settledDescriptors()
      let sender = PeerDescriptors()
      let numbers = [
        taggedDescriptor(1).release(), try counter.descriptor.duplicate().release(),
      ]
      #expect(openDescriptors() == before + 2)
      do { _ = DescriptorList(adopting: numbers, from: sender) }
      #expect(openDescriptors() == before)
      #expect(sender.count == 0)
    }
  }

  @Test func `Lingering sockets of a peer are closed by another thread`() {
    let sockets = (0..<3).map { _ in LingeringSocket() }
    let sender = PeerDescriptors()
    let elapsed = ContinuousClock().measure { _ = list(sockets, from: sender) }
    #expect(elapsed < .seconds(1))
    #expect(sender.count == 3)
    #expect(!sender.isOverdrawn)
    for socket in sockets { socket.end() }
    #expect(eventually { sender.count == 0 })
  }

  @Test func `A lingering descriptor queued in a socket does not block the close of that socket`()
    throws
  {
    let lingering = LingeringSocket()
    let sender = PeerDescriptors()
    let elapsed = try ContinuousClock().measure {
      let (mine, theirs) = try MessageSocket.pair(peer: sender)
      try send(lingering.take(), over: theirs)
      mine.shutdown()
    }
    #expect(elapsed < .seconds(1))
    #expect(sender.count == 1)
    lingering.end()
    #expect(eventually { sender.count == 0 })
  }

  /// The closing thread may be faster than the one that lets go of the socket.
  @Test func `A socket with a lingering descriptor in its queue never has its last close here`()
    throws
  {
    let sender = PeerDescriptors()
    for _ in 0..<1000 {
      let lingering = LingeringSocket()
      let elapsed = try ContinuousClock().measure {
        let (mine, theirs) = try MessageSocket.pair(peer: sender)
        try send(lingering.take(), over: theirs)
        mine.shutdown()
      }
      try #require(elapsed < .seconds(5))
      lingering.end()
    }
    #expect(eventually { sender.count == 0 })
  }

  @Test(arguments: [PeerDescriptors.limit, PeerDescriptors.limit + 1])
  func `A connection ends if more descriptors than the limit wait to be closed`(count: Int) throws {
    let sockets = (0..<count).map { _ in LingeringSocket() }
    let sender = PeerDescriptors()
    _ = list(sockets, from: sender)
    #expect(sender.isOverdrawn == (count > PeerDescriptors.limit))
    let (mine, theirs) = try MessageSocket.pair(peer: sender)
    var assembler = FrameAssembler(messageLimit: 4096, descriptorLimit: 1)
    try send(taggedDescriptor(1), over: theirs)
    if count > PeerDescriptors.limit {
      #expect(
        throws: StreamError.descriptorsNotClosing(
          waiting: count, limit: PeerDescriptors.limit)
      ) { _ = try mine.receive(into: &assembler, wait: true) }
    } else {
      #expect(try mine.receive(into: &assembler, wait: true) == true)
    }
    for socket in sockets { socket.end() }
    #expect(eventually { sender.count == 0 })
  }

  @Test func `Descriptors that wait to be closed are counted per connection and in total`() {
    let total = PeerDescriptors()
    let (one, other) = (PeerDescriptors(countedBy: total), PeerDescriptors(countedBy: total))
    let sockets = (0...PeerDescriptors.limit).map { _ in LingeringSocket() }
    _ = list(Array(sockets[1...]), from: one)
    _ = list([sockets[0]], from: other)
    #expect(!one.isOverdrawn && !other.isOverdrawn && total.isOverdrawn)
    for socket in sockets { socket.end() }
    #expect(eventually { total.count == 0 && one.count == 0 && other.count == 0 })
  }

  @Test func `Descriptors of one peer are closed without waiting for those of another`() {
    let lingering = LingeringSocket()
    let (one, other) = (PeerDescriptors(), PeerDescriptors())
    _ = list([lingering], from: one)
    let second = LingeringSocket()
    _ = list([second], from: other)
    second.end()
    #expect(eventually { other.count == 0 })
    #expect(one.count == 1)
    lingering.end()
  }

  private func send(
    _ descriptor: consuming OwnedDescriptor, over socket: MessageSocket
  ) throws {
    var outbox = Outbox()
    var descriptors = DescriptorList()
    descriptors.append(descriptor)
    let header = Header(id: 1, command: .deviceReset, size: 16)
    outbox.append(header, payload: 0, descriptors: descriptors) { _ in }
    #expect(try outbox.send(to: socket) == true)
  }
}
