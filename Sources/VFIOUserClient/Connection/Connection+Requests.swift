internal import LinuxPrimitives
internal import CLinux
internal import SystemPackage

/// Requests of the server; called by the thread that has the reader's role.
extension Connection {
  /// Answers a request, or queues it for the handler.
  func serve(_ header: Header, _ payload: Span<UInt8>) {
    guard serves else { return }
    trace.record(.request(header.command, bytes: payload.count))
    do throws(Errno) {
      // Requests of a server have no descriptors; unexpected ones are closed with the frame.
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

  /// Answers a request with a payload, unless it has No_reply.
  ///
  /// A large payload is written without the lock, so senders do not wait for it. Replies on this socket wait,
  /// if the reader writes it.
  ///
  /// - Parameters:
  ///   - isSlow: whether `fill` may block, so that it must run without the lock.
  ///   - fill: writes the whole payload.
  /// - Throws: the error of `fill`; no answer is sent then.
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
  /// - Parameter isMade: whether there was memory for it; if not, the connection is ended, since the server
  ///   would wait for the answer without end.
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

  /// Whether there is room for an answer in the queue; if not, ends the connection.
  ///
  /// To stop reading requests does not help, because replies come on the same socket.
  private func hasRoom(_ state: inout State, for size: Int) -> Bool {
    let waiting = state.sending.unsentCount
    guard waiting > answerLimit - size else { return true }
    lose(&state, .notReading(waiting: waiting + size, limit: answerLimit))
    return false
  }

  /// Answers a request with an errno, unless it has No_reply.
  func refuse(_ header: Header, _ error: Errno) {
    guard !header.flags.contains(.noReply) else { return }
    state.update { state in
      guard !state.isLost, hasRoom(&state, for: 0) else { return }
      let reply = header.errorReply(errno: UInt32(error.rawValue))
      enqueue(&state, reply, 0, DescriptorList()) { _ in }
    }
  }
}
