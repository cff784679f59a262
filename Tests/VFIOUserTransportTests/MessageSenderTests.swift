import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

@Suite struct `A message sender shared by threads` {
  private let header = Header(id: 1, command: .regionRead, size: 16, flags: .reply)
  private let request = message(.dmaRead, id: 7, [UInt8](repeating: 0x5A, count: 64))

  private func receiver(_ socket: MessageSocket) -> FrameReceiver {
    FrameReceiver(
      socket: socket, assembler: FrameAssembler(messageLimit: 8 << 20, descriptorLimit: 4),
      messageTimeout: .seconds(10))
  }

  private func failure(_ body: () throws(StreamError) -> Void) -> StreamError? {
    do throws(StreamError) {
      try body()
      return nil
    } catch {
      return error
    }
  }

  private func sendRequest(
    _ sender: MessageSender, _ bytes: [UInt8], before deadline: Deadline
  ) throws(StreamError) {
    try unsafe bytes.span.withUnsafeBytes { (all) throws(StreamError) in
      try unsafe sender.send(
        UnsafeRawBufferPointer(rebasing: all[..<16]), UnsafeRawBufferPointer(rebasing: all[16...]),
        before: deadline)
    }
  }

  /// A request may not start inside of a reply, and its thread hears when the reply has gone.
  @Test
  func `A message sender wakes a thread that waits for a partial reply once all of it is sent`()
    throws
  {
    let (mine, theirs) = try MessageSocket.pair()
    let sender = MessageSender(mine)
    var outbox = Outbox()
    outbox.append(header, payload: 1 << 20) { _ in }
    #expect(try sender.send(&outbox) == false)
    let isSent = Monitor<Bool?>(nil)
    let request = request
    try DetachedThread.start("request") {
      let failure = failure { () throws(StreamError) in
        try sendRequest(sender, request, before: .after(.seconds(60)))
      }
      isSent.update { $0 = failure == nil }
    }
    var receiver = receiver(theirs)
    var commands: [Command] = []
    let start = ContinuousClock.now
    while commands.count < 2, ContinuousClock.now - start < .seconds(20) {
      while let frame = try receiver.nextInHand() { commands.append(frame.header.command) }
      if !outbox.isEmpty { _ = try sender.send(&outbox) }
      _ = try theirs.receive(into: &receiver.assembler, wait: false)
    }
    #expect(commands == [.regionRead, .dmaRead])
    #expect(isSent.withLock(when: { $0 != nil }, before: .after(.seconds(10))) { $0 } == true)
  }

  /// What is cut of a request is sent on by whoever finds the socket writable, in front of all else.
  @Test func `A message sender sends the rest of a partial request before anything else`() throws {
    let (mine, theirs) = try MessageSocket.pair()
    let sender = MessageSender(mine)
    let large = message(.dmaWrite, id: 9, [UInt8](repeating: 0x33, count: 1 << 20))
    let outcome = Monitor<Bool?>(nil)
    try DetachedThread.start("request") {
      let failure = failure { () throws(StreamError) in
        try sendRequest(sender, large, before: .after(.seconds(30)))
      }
      outcome.update { $0 = failure == nil }
    }
    #expect(eventually { theirs.isReadable })
    var outbox = Outbox()
    outbox.append(header, payload: 8) { _ in }
    var receiver = receiver(theirs)
    var ids: [UInt16] = []
    let start = ContinuousClock.now
    while ids.count < 2, ContinuousClock.now - start < .seconds(20) {
      if !outbox.isEmpty { _ = try sender.send(&outbox) }
      while let frame = try receiver.nextInHand() { ids.append(frame.header.id) }
      _ = try theirs.receive(into: &receiver.assembler, wait: false)
    }
    #expect(ids == [9, 1])
    #expect(outcome.withLock(when: { $0 != nil }, before: .after(.seconds(10))) { $0 } == true)
  }
}
