internal import LinuxPrimitives
internal import SystemPackage

/// The send queue: appending and sending messages.
extension Connection {
  /// Appends a message and sends what the socket takes; the background reader sends the rest.
  ///
  /// - Throws: the error of `fill`; no message is appended then.
  func enqueue<Failure: Error>(
    _ state: inout State, _ header: Header, _ size: Int, _ descriptors: consuming DescriptorList,
    _ fill: (inout MutableRawSpan) throws(Failure) -> Void
  ) throws(Failure) {
    try state.sending.append(header, size, descriptors, trace, fill)
    trace.record(.sent(id: header.id, header.command, size: Header.wireSize + size))
    push(&state)
  }

  /// Sends what the socket takes.
  func push(_ state: inout State) {
    guard !state.isServerGone else { return discardUnsent(&state) }
    do throws(StreamError) {
      try state.sending.send(to: socket, trace)
      rearm(&state)
    } catch .closedByPeer where state.calls.inFlight > 0 && !state.isLost {
      // The server may have sent replies before it closed the socket; they are still read.
      state.standing = .serverGone
      state.observers.onServerGone?()
      socket.receiveOnly()
      discardUnsent(&state)
    } catch {
      lose(&state, error)
    }
  }

  private func discardUnsent(_ state: inout State) {
    state.sending.discard()
    rearm(&state)
  }
}

/// Commands whose sender does not wait: posted writes, and commands that a fence waits for later.
extension Connection {
  /// Sends a message with No_reply as soon as there is room for it.
  ///
  /// - Parameter attempt: sends the message if there is room, and returns whether there was.
  func post(
    before deadline: Deadline?, _ attempt: () throws(ClientError) -> Bool
  ) throws(ClientError) {
    guard try !attempt() else { return }
    repeat {
      try waitForBacklog(before: deadline)
    } while try !attempt()
  }

  /// Sends a command with No_reply, unless the backlog is full.
  ///
  /// - Returns: whether it was sent.
  func tryPost(
    _ command: Command, payload size: Int, fill: (inout MutableRawSpan) -> Void
  ) throws(ClientError) -> Bool {
    try state.update { state throws(ClientError) in
      if let sendFailure = state.sendFailure { throw .disconnected(sendFailure) }
      guard state.sending.hasRoomForPosts else { return false }
      let header = Header(
        id: CallTable.posted, command: command, size: 0, flags: .noReply)
      enqueue(&state, header, size, DescriptorList(), fill)
      return true
    }
  }

  /// Posts a write of up to 8 bytes, unless the backlog is full.
  ///
  /// While the socket is full, such writes are collected and sent in one message, if the server supports
  /// WRITE_MULTI.
  ///
  /// - Returns: whether it was posted.
  func tryPost(_ write: RegionWrite) throws(ClientError) -> Bool {
    let isCollected = try state.withLock { state throws(ClientError) -> Bool in
      if let sendFailure = state.sendFailure { throw .disconnected(sendFailure) }
      return state.sending.collect(write)
    }
    guard !isCollected else { return true }
    let size = RegionAccess.wireSize + Int(write.access.count)
    return try tryPost(.regionWrite, payload: size) { bytes in
      write.access.encode(into: &bytes)
      for place in 0..<Int(write.access.count) {
        let byte = UInt8(truncatingIfNeeded: write.value >> UInt64(8 * place))
        bytes.storeBytes(of: byte, toByteOffset: RegionAccess.wireSize + place, as: UInt8.self)
      }
    }
  }

  /// Waits until the backlog has room.
  ///
  /// - Parameter own: the caller's deadline; if nil, waits as long as the server reads.
  private func waitForBacklog(before own: Deadline?) throws(ClientError) {
    while true {
      let taken = state.withLock { $0.sending.taken }
      let isDrained: Void? = state.withLock(
        when: { $0.sendFailure != nil || $0.sending.hasRoomForPosts }, before: own ?? usualDeadline
      ) { _ in }
      guard isDrained == nil else { return }
      // A caller with its own deadline may try again.
      guard own == nil else { throw .timedOut(.regionWrite) }
      guard state.withLock({ $0.sending.taken == taken }) else { continue }
      let reason = StreamError.deadlinePassed(during: .sending)
      state.update { lose(&$0, reason) }
      throw .disconnected(reason)
    }
  }

  /// Sends a command whose reply is counted by `group`.
  ///
  /// - Parameter completion: called when the command has ended, unless this throws.
  func send(
    _ command: Command, payload size: Int, descriptors: consuming DescriptorList = DescriptorList(),
    in group: FenceGroup, _ completion: CommandCompletion? = nil,
    fill: (inout MutableRawSpan) -> Void
  ) throws(ClientError) {
    var carried: DescriptorList? = consume descriptors
    try state.update { state throws(ClientError) in
      let call = try begin(&state, command, .fenced(group, completion))
      group.outstanding += 1
      let header = Header(id: call.id, command: command, size: 0)
      enqueue(&state, header, size, carried.take() ?? DescriptorList(), fill)
    }
  }
}
