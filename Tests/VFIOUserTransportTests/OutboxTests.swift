import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

@Suite struct `An outbox` {
  private let header = Header(
    id: 1, command: .regionRead, size: UInt32(Header.wireSize), flags: .reply)

  /// Sends one message and takes it at the other end.
  private func send(_ size: Int, _ outbox: inout Outbox, _ ends: (MessageSocket, MessageSocket))
    throws
  {
    outbox.append(header, payload: size) { _ in }
    var receiver = FrameReceiver(
      socket: ends.1, assembler: FrameAssembler(messageLimit: 8 << 20, descriptorLimit: 0),
      messageTimeout: .seconds(10))
    var isSent = try outbox.send(to: ends.0)
    while true {
      if let frame = try receiver.nextInHand() {
        #expect(Int(frame.header.size) == Header.wireSize + size)
        break
      }
      if !isSent { isSent = try outbox.send(to: ends.0) }
      _ = try ends.1.receive(into: &receiver.assembler, wait: false)
    }
    #expect(isSent && outbox.isEmpty)
  }

  @Test func `An outbox frees the buffer of a large message after many small ones`() throws {
    let ends = try MessageSocket.pair()
    var outbox = Outbox()
    let small = outbox.capacity
    try send(1 << 20, &outbox, ends)
    let large = outbox.capacity
    #expect(large > 1 << 20)
    for _ in 1..<Outbox.patience {
      try send(64, &outbox, ends)
      #expect(outbox.capacity == large)
    }
    try send(64, &outbox, ends)
    #expect(outbox.capacity == small)
    // And it works as before.
    try send(1 << 20, &outbox, ends)
    try send(64, &outbox, ends)
  }

  @Test func `An outbox keeps its large buffer while large messages recur`() throws {
    let ends = try MessageSocket.pair()
    var outbox = Outbox()
    try send(1 << 20, &outbox, ends)
    let large = outbox.capacity
    for _ in 0..<3 {
      for _ in 0..<Outbox.patience - 1 { try send(64, &outbox, ends) }
      try send(1 << 20, &outbox, ends)
      #expect(outbox.capacity == large)
    }
  }

  @Test func `An outbox sends the descriptors of a split message once, with its first byte`() throws
  {
    let ends = try MessageSocket.pair()
    var outbox = Outbox()
    for tag in 1...3 {
      var descriptors = DescriptorList()
      descriptors.append(taggedDescriptor(4096 * tag))
      outbox.append(header, payload: 1 << 20, descriptors: descriptors) { _ in }
      outbox.append(header, payload: 8) { _ in }
    }
    var receiver = FrameReceiver(
      socket: ends.1, assembler: FrameAssembler(messageLimit: 8 << 20, descriptorLimit: 4),
      messageTimeout: .seconds(10))
    var isSent = try outbox.send(to: ends.0)
    #expect(!isSent)
    var seen: [[Int]] = []
    while seen.count < 6 {
      while var frame = try receiver.nextInHand() {
        var tags: [Int] = []
        while let descriptor = frame.descriptors.takeFirst() { tags.append(tag(of: descriptor)) }
        seen.append(tags)
      }
      if !isSent { isSent = try outbox.send(to: ends.0) }
      _ = try ends.1.receive(into: &receiver.assembler, wait: false)
    }
    #expect(isSent)
    #expect(seen == [[4096], [], [8192], [], [12288], []])
  }

  @Test func `An outbox that is discarded closes its unsent descriptors and works as before`()
    throws
  {
    let ends = try MessageSocket.pair()
    let witness: MessageSocket
    var descriptors = DescriptorList()
    do {
      let (carried, other) = try MessageSocket.pair()
      descriptors.append(try carried.descriptor.duplicate())
      witness = other
    }
    var outbox = Outbox()
    outbox.append(header, payload: 4096) { _ in }
    #expect(!witness.peerHasHungUp)
    outbox.append(header, payload: 8, descriptors: descriptors) { _ in }
    outbox.append(header, payload: 64 << 10) { _ in }
    outbox.discard()
    #expect(outbox.isEmpty && outbox.count == 0 && outbox.unsentCount == 0)
    #expect(witness.peerHasHungUp)
    try send(64, &outbox, ends)
  }
}
