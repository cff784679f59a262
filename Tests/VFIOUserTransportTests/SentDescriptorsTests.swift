import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

@Suite struct `Descriptors on a message socket that block when they are closed` {
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

  /// The closing thread may be faster than the thread that releases the socket.
  @Test func `A socket with a lingering descriptor in its queue is not closed by who releases it`()
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
    _ = DescriptorList(adopting: sockets.map { $0.take().release() }, from: sender)
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
