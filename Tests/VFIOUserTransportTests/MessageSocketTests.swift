import CLinux
import Synchronization
import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

func receiver(
  _ socket: MessageSocket, limit: Int = 4 << 20, timeout: Duration = .seconds(5)
) -> FrameReceiver {
  FrameReceiver(
    socket: socket, assembler: FrameAssembler(messageLimit: limit, descriptorLimit: 16),
    messageTimeout: timeout)
}

func next(_ receiver: inout FrameReceiver) throws(StreamError) -> Frame {
  while true {
    if let frame = try receiver.nextInHand() { return frame }
    try receiver.receive()
  }
}

@Suite struct `Message socket` {
  @Test func `A message socket carries a message and its descriptors`() async {
    await #expect(processExitsWith: .success) {
      let before = settledDescriptors()
      do {
        let (one, other) = try MessageSocket.pair()
        var outbox = Outbox()
        var descriptors = DescriptorList()
        descriptors.append(taggedDescriptor(4096))
        outbox.append(
          Header(id: 3, command: .dmaMap, size: 0, flags: []), payload: 4, descriptors: descriptors
        ) { $0.storeLittleEndian(UInt32(0xDEAD), at: 0) }
        #expect(try outbox.send(to: one) == true)
        #expect(outbox.isEmpty == true)
        var receiver = receiver(other)
        var frame = try next(&receiver)
        #expect(
          receiver.assembler.payload(of: frame).littleEndian(at: 0, as: UInt32.self) == 0xDEAD)
        guard let descriptor = frame.descriptors.takeFirst() else { fatalError("none came") }
        #expect(tag(of: descriptor) == 4096)
      }
      #expect(openDescriptors() == before)
    }
  }

  @Test func `A message socket marks received descriptors close-on-exec`() throws {
    let (one, other) = try MessageSocket.pair()
    var outbox = Outbox()
    var descriptors = DescriptorList()
    descriptors.append(taggedDescriptor(4096))
    outbox.append(
      Header(id: 0, command: .dmaMap, size: 0, flags: []), payload: 0, descriptors: descriptors
    ) { _ in }
    #expect(try outbox.send(to: one) == true)
    var receiver = receiver(other)
    var frame = try next(&receiver)
    guard let descriptor = frame.descriptors.takeFirst() else { fatalError("none came") }
    #expect(clinux_is_close_on_exec(descriptor.number) == 1)
  }

  @Test func `A message socket resumes a partial send`() throws {
    let (one, other) = try MessageSocket.pair()
    let size = 3 << 20
    var outbox = Outbox()
    outbox.append(Header(id: 0, command: .regionWrite, size: 0, flags: []), payload: size) {
      for index in 0..<size {
        $0.storeBytes(of: UInt8(truncatingIfNeeded: index / 7), toByteOffset: index, as: UInt8.self)
      }
    }
    #expect(try outbox.send(to: one) == false)
    let received = Atomic(0)
    try DetachedThread.start("reader") {
      var receiver = receiver(other)
      guard let frame = try? next(&receiver) else { return }
      let payload = receiver.assembler.payload(of: frame)
      let isIntact = payload.indices.allSatisfy { payload[$0] == UInt8(truncatingIfNeeded: $0 / 7) }
      received.store(isIntact ? payload.count : -1, ordering: .releasing)
    }
    var sender = receiver(one)
    while try !outbox.send(to: one) {
      try sender.waitUntilWritable(before: .after(.seconds(10)))
    }
    #expect(eventually { received.load(ordering: .acquiring) == size })
  }

  @Test func `A message socket receives while it waits to send, so two busy peers do not deadlock`()
    throws
  {
    let (one, other) = try MessageSocket.pair()
    let done = Atomic(0)
    for socket in [one, other] {
      try DetachedThread.start("busy") {
        var receiver = receiver(socket)
        var outbox = Outbox()
        do {
          for _ in 0..<4 {
            outbox.append(
              Header(id: 0, command: .regionWrite, size: 0, flags: []), payload: 300_000
            ) { _ in }
            while try !outbox.send(to: socket) {
              try receiver.waitUntilWritable(before: .after(.seconds(10)))
            }
          }
          for _ in 0..<4 { _ = try next(&receiver) }
          done.add(1, ordering: .releasing)
        } catch {
          Issue.record("\(error)")
        }
      }
    }
    #expect(eventually(within: .seconds(20)) { done.load(ordering: .acquiring) == 2 })
  }

  @Test(arguments: 1...19)
  func `A message socket reports an end of file inside a message with the received byte count`(
    sent: Int
  ) throws {
    let (one, other) = try MessageSocket.pair()
    var receiver = receiver(other)
    try send(Array(message(.deviceReset, [1, 2, 3, 4])[..<sent]), to: one)
    one.shutdown()
    #expect(throws: StreamError.endInsideMessage(had: sent)) { _ = try next(&receiver) }
  }

  @Test func `A message socket reports an end of file between messages as closed by the peer`()
    throws
  {
    let (one, other) = try MessageSocket.pair()
    var receiver = receiver(other)
    try send(message(.deviceReset), to: one)
    one.shutdown()
    #expect(try next(&receiver).header.command == .deviceReset)
    #expect(throws: StreamError.closedByPeer) { _ = try next(&receiver) }
  }

  @Test func `A message socket wakes a blocked reader when its own side shuts down`() throws {
    let (one, other) = try MessageSocket.pair()
    let reason = Monitor<StreamError?>(nil)
    try DetachedThread.start("reader") {
      var receiver = receiver(other)
      do throws(StreamError) {
        _ = try next(&receiver)
      } catch {
        reason.update { $0 = error }
      }
    }
    other.shutdown()
    #expect(eventually { reason.withLock { $0 == .closedByUs } })
    withExtendedLifetime(one) {}
  }

  @Test func `A message socket gives up on half a message after the deadline`() throws {
    let (one, other) = try MessageSocket.pair()
    var receiver = receiver(other, timeout: .milliseconds(30))
    try send(Array(message(.deviceReset)[..<8]), to: one)
    #expect(throws: StreamError.deadlinePassed(during: .receiving)) { _ = try next(&receiver) }
  }

  @Test func `A message socket gives up on a peer that does not read before the deadline`() throws {
    let (one, other) = try MessageSocket.pair()
    var sender = receiver(one)
    var outbox = Outbox()
    outbox.append(Header(id: 0, command: .regionWrite, size: 0, flags: []), payload: 4 << 20) { _ in
    }
    #expect(throws: StreamError.deadlinePassed(during: .sending)) {
      while try !outbox.send(to: one) {
        try sender.waitUntilWritable(before: .after(.milliseconds(30)))
      }
    }
    withExtendedLifetime(other) {}
  }

  /// Bytes outside of any message's bounds, as a careless or hostile peer sends them.
  func send(_ bytes: [UInt8], to socket: MessageSocket) throws {
    let sent = unsafe try bytes.withUnsafeBytes { unsafe try socket.trySend($0) }
    #expect(sent == bytes.count)
  }
}

@Suite struct `The outbox` {
  @Test func `The outbox sends many small messages in batches and in order`() throws {
    let (one, other) = try MessageSocket.pair()
    var outbox = Outbox()
    for id in 0..<40 {
      outbox.append(
        Header(id: UInt16(id), command: .regionRead, size: 0, flags: .reply), payload: 1000
      ) { _ in }
      if outbox.isFull { #expect(try outbox.send(to: one) == true) }
    }
    #expect(try outbox.send(to: one) == true)
    var receiver = receiver(other)
    for id in 0..<40 { #expect(try next(&receiver).header.id == UInt16(id)) }
  }

  @Test func `The outbox sends a message with descriptors separately`() throws {
    let (one, other) = try MessageSocket.pair()
    var outbox = Outbox()
    let header = Header(id: 0, command: .dmaMap, size: 0, flags: [])
    outbox.append(header)
    var descriptors = DescriptorList()
    descriptors.append(taggedDescriptor(4096))
    outbox.append(header, payload: 0, descriptors: descriptors) { _ in }
    outbox.append(header)
    #expect(try outbox.send(to: one) == true)
    var receiver = receiver(other)
    var counts: [Int] = []
    for _ in 0..<3 { counts.append(try next(&receiver).descriptors.count) }
    #expect(counts == [0, 1, 0])
  }

  @Test func `The outbox drops a message whose payload could not be written`() throws {
    let (one, other) = try MessageSocket.pair()
    var outbox = Outbox()
    #expect(throws: Errno.ioError) {
      try outbox.append(Header(id: 1, command: .regionRead, size: 0, flags: .reply), payload: 8) {
        (bytes) throws(Errno) in
        bytes.storeLittleEndian(UInt64.max, at: 0)
        throw .ioError
      }
    }
    outbox.append(Header(id: 2, command: .regionRead, size: 0, flags: .reply), payload: 8) { _ in }
    #expect(try outbox.send(to: one) == true)
    var receiver = receiver(other)
    let frame = try next(&receiver)
    #expect(frame.header.id == 2)
    #expect(receiver.assembler.payload(of: frame).littleEndian(at: 0, as: UInt64.self) == 0)
  }

  @Test func `The outbox closes descriptors that were never sent`() async {
    await #expect(processExitsWith: .success) {
      let before = settledDescriptors()
      do {
        var outbox = Outbox()
        var descriptors = DescriptorList()
        descriptors.append(taggedDescriptor(4096))
        outbox.append(
          Header(id: 0, command: .dmaMap, size: 0, flags: []), payload: 0, descriptors: descriptors
        ) { _ in }
        #expect(openDescriptors() == before + 1)
      }
      #expect(openDescriptors() == before)
    }
  }
}
