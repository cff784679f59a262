internal import LinuxPrimitives
internal import VFIOUserTransport

/// The thread that reads a twin socket, while the connection is handed over.
struct TwinReader {
  /// What another process has received; for the thread when it starts.
  var early: StreamRecord?
  /// Whether the thread has to rest.
  var isHalted = false
  /// What the resting thread has received in part.
  var received: StreamRecord?
}

extension DMAChannel {
  /// Continues with a connection of another process.
  convenience init(
    resuming record: ChannelRecord, _ main: MessageSender, from peer: PeerDescriptors,
    _ options: ServerOptions
  ) {
    let twin = record.twin.map {
      MessageSender(
        MessageSocket(adopting: OwnedDescriptor(adopting: $0), peer: peer), resuming: record.sender)
    }
    self.init(
      twin ?? main, twin: twin != nil, chunk: max(1, record.chunk),
      layout: record.isNarrow.map { $0 ? .narrow : .wide }, options)
    state.withLock { state in
      state.nextID = record.nextID
      state.givenUp = Set(record.givenUp)
      state.reader.early = record.received
    }
  }

  /// Stops the reading thread, and returns what another process needs to continue.
  ///
  /// - Throws: when the thread does not stop in time, or a request waits for its reply.
  func halt(before deadline: Deadline) throws(HandoverError) -> ChannelRecord {
    try haltReader(before: deadline)
    return try state.withLock { state throws(HandoverError) in
      guard state.slots.allSatisfy({ $0.status == .free }), !state.isProbing else {
        throw HandoverError("the device waits for the client's reply to a DMA message")
      }
      return ChannelRecord(
        twin: twin ? sender.socket.descriptor.number : nil,
        sender: twin ? sender.record : SenderRecord(),
        received: state.reader.received ?? state.reader.early ?? StreamRecord(), chunk: chunk,
        isNarrow: state.layout.map { $0 == .narrow }, nextID: state.nextID,
        givenUp: state.givenUp.sorted())
    }
  }

  private func haltReader(before deadline: Deadline) throws(HandoverError) {
    guard twin else { return }
    state.update { $0.reader.isHalted = true }
    sender.socket.isInterrupted = true
    while true {
      readingThread.interrupt()
      let isDone: Void? = state.withLock(
        when: { !$0.hasReader || $0.reader.received != nil }, before: .after(.milliseconds(1))
      ) { _ in }
      if isDone != nil { return }
      guard !deadline.hasPassed else {
        throw HandoverError("the thread that reads the twin socket does not stop")
      }
    }
  }

  /// The reading thread goes on.
  func endHalt() {
    guard twin else { return }
    sender.socket.isInterrupted = false
    state.update { state in
      state.reader.isHalted = false
      state.reader.received = nil
    }
  }

  /// Called by the reading thread between two reads: waits while it has to rest.
  func rest(_ assembler: borrowing FrameAssembler) {
    guard sender.socket.isInterrupted else { return }
    let received = assembler.record
    // One halt may follow another before this thread has seen the end of the first.
    while noteRest(received) {
      _ = state.withLock(when: { !$0.reader.isHalted || $0.reader.received == nil || $0.isClosed })
      {
        _ in
      }
    }
  }

  /// - Returns: whether the thread has to rest.
  private func noteRest(_ received: StreamRecord) -> Bool {
    var isHalted = false
    state.update { state in
      isHalted = state.reader.isHalted && !state.isClosed
      if isHalted { state.reader.received = received }
    }
    return isHalted
  }
}
