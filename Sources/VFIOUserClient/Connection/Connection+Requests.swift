internal import CLinux
internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

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
    guard payload.count == DMAAccess.wireSize else { throw .invalidArgument }
    let pieces = try service.pieces(of: access, for: .readable)
    answer(header, DMAAccess.wireSize + Int(access.count)) { bytes in
      access.encode(into: &bytes)
      var data = bytes._mutatingExtracting(DMAAccess.wireSize...)
      service.copyOut(pieces, to: &data)
    }
  }

  private func serveWrite(_ header: Header, _ payload: Span<UInt8>) throws(Errno) {
    let access = try decodeAccess(payload)
    guard payload.count - DMAAccess.wireSize == Int(access.count) else { throw .invalidArgument }
    let pieces = try service.pieces(of: access, for: .writable)
    service.copyIn(pieces, from: payload.extracting(DMAAccess.wireSize...))
    answer(header, DMAAccess.wireSize) { access.encode(into: &$0) }
  }

  private func decodeAccess(_ payload: Span<UInt8>) throws(Errno) -> DMAAccess {
    let access: DMAAccess
    do throws(WireError) {
      access = try DMAAccess(decoding: payload)
    } catch {
      throw .invalidArgument
    }
    guard access.count <= UInt64(service.maxTransfer) else { throw .argListTooLong }
    return access
  }

  /// Answers a request with a payload, unless its sender wants no answer.
  func answer(
    _ header: Header, _ size: Int, _ fill: (inout MutableRawSpan) -> Void
  ) {
    guard !header.flags.contains(.noReply) else { return }
    state.update { state in
      guard state.failure == nil, hasRoom(&state, for: size) else { return }
      enqueue(&state, header.reply(payload: size), size, DescriptorList(), fill)
    }
  }

  /// Whether an answer may wait for the socket; if not, the connection is lost with this.
  ///
  /// Reading no more requests would be no way out: replies come on the same socket.
  private func hasRoom(_ state: inout State, for size: Int) -> Bool {
    let waiting = state.outbox.unsentCount
    guard waiting > answerLimit - size else { return true }
    lose(&state, .notReading(waiting: waiting + size, limit: answerLimit))
    return false
  }

  /// Answers a request with an errno, unless its sender wants no answer.
  func refuse(_ header: Header, _ error: Errno) {
    guard !header.flags.contains(.noReply) else { return }
    state.update { state in
      guard state.failure == nil, hasRoom(&state, for: 0) else { return }
      let reply = header.errorReply(errno: UInt32(error.rawValue))
      enqueue(&state, reply, 0, DescriptorList()) { _ in }
    }
  }

  private func queue(_ header: Header, _ payload: Span<UInt8>) throws(Errno) {
    guard handler != nil else { throw .noFunction }
    let request = QueuedRequest(header, payload.copied())
    let isQueued = state.update { state in
      guard state.requests.append(request) else { return false }
      if !state.requests.hasWorker { state.requests.hasWorker = startWorker() }
      if !state.requests.hasWorker { state.requests.removeLast() }
      return state.requests.hasWorker
    }
    guard isQueued else { throw .resourceBusy }
  }

  private func startWorker() -> Bool {
    do throws(SystemCallError) {
      try DetachedThread.start("vfio-user-req") { [self] in runWorker() }
      return true
    } catch {
      return false
    }
  }

  /// Runs the handler for one request after the other, and ends when there are none.
  private func runWorker() {
    while let request = state.update({ $0.requests.next() }), let handler {
      handler(IncomingRequest(request, self))
    }
  }
}
