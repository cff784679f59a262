internal import VFIOUserTransport

// A session that somebody else's loop drives: nothing here waits.

extension Session {
  /// Most reads of one ``proceed()``: other clients of the same thread want to be served too.
  private static let maxReads = 16

  /// What to poll the socket for; nothing while ``ParkedMessages`` is full.
  ///
  /// Makes room in the frame assembler for what may come while replies wait to be sent.
  mutating func readinessToPoll() -> Readiness {
    guard sendDeadline != nil else { return parked.isFull ? [] : .readable }
    var readiness: Readiness = retryDeadline == nil ? .writable : []
    let room = unsafe try? receiver.assembler.prepareRoom()
    if unsafe room?.isEmpty == false { readiness.insert(.readable) }
    return readiness
  }

  /// When ``proceed()`` has to be called at the latest.
  var deadline: Deadline {
    min(
      messageDeadline,
      sendDeadline.map { min($0, retryDeadline ?? .never) } ?? unmap?.deadline ?? .never)
  }

  /// Whether the device's letting go of windows is to be heard of.
  var awaitsDevice: Bool { unmap != nil && sendDeadline == nil }

  /// Serves what is there.
  mutating func proceed() throws(StreamError) {
    dispatcher.core.memory.enterReceivingThread()
    guard try hasRoomForReplies() else { return }
    try finishUnmap()
    try serveAndFlush()
    var reads = 0
    while isReady, reads < Self.maxReads {
      let socket = receiver.socket
      guard try socket.receive(into: &receiver.assembler, wait: false) else { break }
      reads += 1
      try serveAndFlush()
    }
    if parked.isFull, receiver.socket.peerHasHungUp { throw .closedByPeer }
    try checkMessageDeadline()
  }

  private mutating func serveAndFlush() throws(StreamError) {
    if channel == nil {
      guard let frame = try receiver.nextInHand() else { return }
      try negotiate(frame)
    }
    try serveWhatIsInHand()
    try flush()
  }

  /// Sends replies for which the socket had no room.
  ///
  /// Meanwhile it receives ahead: two peers that only send, each waiting for the other to read, would
  /// wait for ever.
  private mutating func hasRoomForReplies() throws(StreamError) -> Bool {
    guard let sendDeadline else { return true }
    try flush()
    guard self.sendDeadline != nil else { return true }
    let socket = receiver.socket
    for _ in 0..<Self.maxReads {
      guard try socket.receive(into: &receiver.assembler, wait: false) else { break }
    }
    guard !sendDeadline.hasPassed else { throw .deadlinePassed(during: .sending) }
    return false
  }

  private mutating func checkMessageDeadline() throws(StreamError) {
    if channel != nil { messageDeadline = isReady ? receiver.messageDue() ?? .never : .never }
    if messageDeadline.hasPassed {
      throw .deadlinePassed(during: channel == nil ? .negotiating : .receiving)
    }
  }
}
