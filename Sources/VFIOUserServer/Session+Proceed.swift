internal import VFIOUserTransport

// The methods for a session that is driven by a loop; none blocks.

extension Session {
  /// Maximum number of reads of one ``proceed()``, so that other clients of the same thread are served too.
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
      sendDeadline.map { min($0, retryDeadline ?? .never) } ?? pending?.deadline ?? .never)
  }

  /// Whether the device has to do its part before a command can be answered.
  var awaitsDevice: Bool { pending != nil && sendDeadline == nil }

  /// Serves all that can be served without blocking.
  mutating func proceed() throws(StreamError) {
    dispatcher.core.memory.enterReceivingThread()
    guard try hasRoomForReplies() else { return }
    try finishPending()
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
    try serveReceived()
    try flush()
  }

  /// Sends replies for which the socket had no room.
  ///
  /// Receives meanwhile: if both sides only sent, and waited for the other to read, neither would continue.
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
