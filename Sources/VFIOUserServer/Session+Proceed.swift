internal import VFIOUserTransport

// A session that somebody else's loop drives: nothing here waits.

extension Session {
  /// Most reads of one ``proceed()``: other clients of the same thread want to be served too.
  private static let maxReads = 16

  /// What to watch the socket for; nothing while what waits behind an unmap is all that is taken.
  var wanted: Readiness {
    mutating get {
      guard sendDeadline != nil else { return parked.isFull ? [] : .readable }
      var wanted: Readiness = retryDeadline == nil ? .writable : []
      let room = unsafe try? receiver.assembler.prepareRoom()
      if unsafe room?.isEmpty == false { wanted.insert(.readable) }
      return wanted
    }
  }

  /// When ``proceed()`` has to be called at the latest.
  var deadline: Deadline {
    min(
      messageDeadline,
      sendDeadline.map { min($0, retryDeadline ?? .never) } ?? pending?.deadline ?? .never)
  }

  /// Whether the device's letting go of windows is to be heard of.
  var awaitsDevice: Bool { pending != nil && sendDeadline == nil }

  /// Serves what is there.
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
