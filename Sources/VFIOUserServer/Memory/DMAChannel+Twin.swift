internal import VFIOUserTransport
internal import Logging
internal import SystemPackage

extension DMAChannel {
  /// Starts the thread that reads the twin socket, if it is not running yet.
  func startReader() throws(MemoryError) {
    guard twin else { return }
    let mustStart = state.withLock { state in
      defer { state.hasReader = state.hasReader || !state.isClosed }
      return !state.hasReader && !state.isClosed
    }
    guard mustStart else { return }
    do {
      try DetachedThread.start("vfio-user-twin") { self.readTwin() }
    } catch {
      logger.error("no thread for a twin socket", metadata: ["error": "\(error)"])
      state.update { $0.hasReader = false }
      throw .refused(.resourceTemporarilyUnavailable)
    }
  }

  private func readTwin() {
    var receiver = FrameReceiver(
      socket: sender.socket,
      assembler: FrameAssembler(
        messageLimit: max(
          Limits.messageBeforeNegotiation, Header.wireSize + DMAAccess.wireSize + chunk),
        descriptorLimit: 1),
      messageTimeout: timeout)
    readingThread.enter()
    do throws(StreamError) {
      if let early = state.withLock({ $0.reader.early.take() }) {
        try receiver.assembler.resume(early, from: sender.socket.peer)
      }
      while true {
        while let frame = try receiver.nextInHand() {
          receive(frame.header, receiver.assembler.payload(of: frame))
        }
        try receiver.receive()
        rest(receiver.assembler)
      }
    } catch {
      logger.debug("the twin socket is closed", metadata: ["reason": "\(error)"])
    }
    readingThread.leave()
    state.update { state in
      state.isClosed = true
      state.hasReader = false
    }
  }

  private func receive(_ header: Header, _ payload: Span<UInt8>) {
    guard !header.flags.isReply else { return deliver(header, payload) }
    // Commands of the client belong on the main socket.
    guard header.wantsReply else { return }
    var outbox = Outbox()
    outbox.append(header.errorReply(errno: UInt32(Errno.notSupported.rawValue)))
    // If the socket has no room for the error reply, the client gets none.
    _ = try? sender.send(&outbox)
  }
}

extension DMAChannel {
  private enum Role {
    case known
    case probe(slot: Int, id: UInt16)
    case closed
  }

  /// Finds out the layout of the client's DMA messages, once, before the first of them.
  func probeLayout(at address: UInt64) throws(MemoryError) {
    let ticket = newTicket()
    let access = DMAAccess(address: address, count: DMALayout.probe)
    let role = state.withLock(
      when: { state in
        state.isClosed || state.layout != nil
          || !state.isProbing && state.slots.contains { $0.status == .free }
      }, before: .after(timeout)
    ) { state -> Role in
      if state.isClosed { return .closed }
      guard state.layout == nil,
        let free = state.slots.firstIndex(where: { $0.status == .free })
      else { return .known }
      let id = Self.newID(&state)
      state.slots[free] = unsafe Slot(
        status: .waiting, ticket: ticket, id: id, access: access, isProbe: true)
      state.isProbing = true
      return .probe(slot: free, id: id)
    }
    switch role {
    case .known: return
    case .closed: throw .stale
    case nil: throw .timedOut
    case .probe(let slot, let id): try probe(slot, id, access, ticket)
    }
  }

  private func probe(
    _ slot: Int, _ id: UInt16, _ access: DMAAccess, _ ticket: UInt64
  ) throws(MemoryError) {
    defer {
      cancel(ticket)
      state.update { $0.isProbing = false }
    }
    do throws(StreamError) {
      try unsafe send(.dmaRead, id, access, .wide, UnsafeRawBufferPointer(start: nil, count: 0))
    } catch {
      withdraw(slot)
      throw failure(of: error)
    }
    let answer = state.withLock(
      when: { $0.isClosed || $0.layout != nil }, before: .after(timeout)
    ) { state -> DMALayout? in state.isClosed ? nil : state.layout }
    guard let answer else { throw .timedOut }
    guard let layout = answer else { throw .stale }
    logger.debug("how the client lays out DMA messages", metadata: ["as": "\(layout)"])
  }
}
