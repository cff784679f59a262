import CLinux
import LinuxPrimitives
import TestSupport
import Testing

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

  @Test(arguments: [PeerDescriptors.limit, PeerDescriptors.limit + 1])
  func `A peer is overdrawn if more descriptors than the limit wait to be closed`(count: Int) {
    let sockets = (0..<count).map { _ in LingeringSocket() }
    let sender = PeerDescriptors()
    _ = list(sockets, from: sender)
    #expect(sender.isOverdrawn == (count > PeerDescriptors.limit))
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
}
