internal import LinuxPrimitives
internal import CLinux
internal import SystemPackage

/// What the server asks of us. Called by the thread that holds the role of the reader.
extension Connection {
  /// Serves a request, or queues it for the handler.
  func serve(_ header: Header, _ payload: Span<UInt8>) {
    guard serves else { return }
    trace.record(.request(header.command, bytes: payload.count))
    do throws(Errno) {
      // No request of a server carries descriptors; those that came are closed with the frame.
      guard header.flags.reserved == 0, !header.flags.contains(.error) else {
        throw .invalidArgument
      }
      switch header.command {
      case .dmaRead: try serveRead(header, payload)
      case .dmaWrite: try serveWrite(header, payload)
      default: try queue(header, payload)
      }
    } catch {
      refuse(header, error)
    }
  }

  private func serveRead(_ header: Header, _ payload: Span<UInt8>) throws(Errno) {
    let access = try decodeAccess(payload)
    guard (try? access.requireNoData(in: payload)) != nil else { throw .invalidArgument }
    let pieces = try service.pieces(of: access, for: .readable)
    let size = DMAAccess.wireSize + Int(access.count)
    try answer(header, size, isSlow: !pieces.areMapped) { (bytes) throws(Errno) in
      access.encode(into: &bytes)
      var data = bytes._mutatingExtracting(DMAAccess.wireSize...)
      try service.copyOut(pieces, to: &data)
    }
  }

  private func serveWrite(_ header: Header, _ payload: Span<UInt8>) throws(Errno) {
    let access = try decodeAccess(payload)
    guard let data = try? access.data(in: payload) else { throw .invalidArgument }
    let pieces = try service.pieces(of: access, for: .writable)
    try service.copyIn(pieces, from: data)
    answer(header, DMAAccess.wireSize) { access.encode(into: &$0) }
  }

  private func decodeAccess(_ payload: Span<UInt8>) throws(Errno) -> DMAAccess {
    guard let access = try? DMAAccess(decoding: payload) else { throw .invalidArgument }
    guard access.count <= UInt64(service.maxTransfer) else { throw .argListTooLong }
    return access
  }

  /// Answers a request with a payload, unless its sender wants no answer.
  ///
  /// A large payload is written without the lock: senders do not wait for it. Replies that come on this
  /// socket meanwhile do, if it is the reader who answers.
  ///
  /// - Parameters:
  ///   - isSlow: whether `fill` may wait for something, so that it must not have the lock either.
  ///   - fill: writes all of the payload.
  /// - Throws: what `fill` throws; there is no answer then.
  func answer<Failure: Error>(
    _ header: Header, _ size: Int, isSlow: Bool = false,
    _ fill: (inout MutableRawSpan) throws(Failure) -> Void
  ) throws(Failure) {
    guard !header.flags.contains(.noReply) else { return }
    guard isSlow || size > SendQueue.smallLimit else {
      return try state.update { state throws(Failure) in
        guard !state.isLost, hasRoom(&state, for: size) else { return }
        try enqueue(&state, header.reply(payload: size), size, DescriptorList(), fill)
      }
    }
    let reserved = state.update { state -> LargeMessage? in
      guard !state.isLost, hasRoom(&state, for: size) else { return nil }
      return state.sending.reserve(size)
    }
    guard let message = reserved else { return }
    let isMade: Bool
    do throws(Failure) {
      isMade = try message.make(header.reply(payload: size), fill)
    } catch {
      state.update { $0.sending.giveBack(message) }
      throw error
    }
    commit(message, header, isMade: isMade)
  }

  /// Sends a message that was made without the lock.
  ///
  /// - Parameter isMade: whether there was memory for it; else the connection is lost, since the server waits
  ///   for what it will not get.
  private func commit(_ message: LargeMessage, _ header: Header, isMade: Bool) {
    state.update { state in
      guard isMade, !state.isLost else {
        state.sending.giveBack(message)
        guard !isMade, !state.isLost else { return }
        state.sending.loseMessage()
        return push(&state)
      }
      trace.record(.sent(id: header.id, header.command, size: Header.wireSize + message.size))
      state.sending.append(message, trace)
      push(&state)
    }
  }

  /// Whether an answer may wait for the socket; if not, the connection is lost with this.
  ///
  /// Reading no more requests would be no way out: replies come on the same socket.
  private func hasRoom(_ state: inout State, for size: Int) -> Bool {
    let waiting = state.sending.unsentCount
    guard waiting > answerLimit - size else { return true }
    lose(&state, .notReading(waiting: waiting + size, limit: answerLimit))
    return false
  }

  /// Answers a request with an errno, unless its sender wants no answer.
  func refuse(_ header: Header, _ error: Errno) {
    guard !header.flags.contains(.noReply) else { return }
    state.update { state in
      guard !state.isLost, hasRoom(&state, for: 0) else { return }
      let reply = header.errorReply(errno: UInt32(error.rawValue))
      enqueue(&state, reply, 0, DescriptorList()) { _ in }
    }
  }
}
