internal import LinuxPrimitives
internal import Logging

extension DMAChannel {
  /// The next step of a thread in ``transfer(_:at:_:)``.
  private enum Step {
    case send(slot: Int, id: UInt16, DMAAccess, DMALayout)
    case collected(MemoryError?)
    case finished
  }

  /// The progress of a transfer.
  private struct Progress {
    let ticket: UInt64
    let command: Command
    var sent = 0
    var inFlight = 0
    var failure: MemoryError?
  }

  /// Transfers bytes with messages, several of them in flight, and waits for all replies.
  ///
  /// - Throws: the first error; by then every message in flight was answered or given up.
  @unsafe
  func transfer(
    _ direction: GuestMemoryAccess.Direction, at address: UInt64,
    _ bytes: UnsafeMutableRawBufferPointer
  ) throws(MemoryError) {
    try startReader()
    try probeLayout(at: address)
    let command: Command = direction == .reading ? .dmaRead : .dmaWrite
    var progress = Progress(ticket: newTicket(), command: command)
    // No slot may point into `bytes` when this returns.
    defer { cancel(progress.ticket) }
    while true {
      let step: Step? = state.withLock(
        when: { Self.canStep($0, progress, bytes.count) }, before: .after(timeout)
      ) { state in unsafe nextStep(&state, &progress, address, bytes) }
      switch step {
      case .send(let slot, let id, let access, let layout):
        let place = Int(access.address - address)
        let end = direction == .writing ? place + Int(access.count) : place
        let data = unsafe UnsafeRawBufferPointer(rebasing: bytes[place..<end])
        do throws(StreamError) {
          try unsafe send(command, id, access, layout, data)
        } catch {
          withdraw(slot)
          progress.inFlight -= 1
          progress.failure = failure(of: error)
        }
      case .collected(let failure): progress.failure = progress.failure ?? failure
      case .finished:
        if let failure = progress.failure { throw failure }
        return
      case nil: throw .timedOut
      }
    }
  }

  func newTicket() -> UInt64 {
    state.withLock { state in
      state.nextTicket += 1
      return state.nextTicket
    }
  }

  private static func canStep(_ state: borrowing State, _ progress: Progress, _ total: Int) -> Bool
  {
    if state.isClosed { return true }
    let wantsToSend = progress.failure == nil && progress.sent < total
    if progress.inFlight == 0, !wantsToSend { return true }
    for slot in state.slots {
      switch slot.status {
      case .free: if wantsToSend { return true }
      case .done: if slot.ticket == progress.ticket { return true }
      case .waiting: break
      }
    }
    return false
  }

  @unsafe
  private func nextStep(
    _ state: inout State, _ progress: inout Progress, _ address: UInt64,
    _ bytes: UnsafeMutableRawBufferPointer
  ) -> Step {
    if state.isClosed {
      progress.failure = .stale
      return .finished
    }
    for index in state.slots.indices where state.slots[index].ticket == progress.ticket {
      guard case .done(let failure) = state.slots[index].status else { continue }
      state.slots[index].status = .free
      progress.inFlight -= 1
      return .collected(failure)
    }
    guard progress.failure == nil, progress.sent < bytes.count,
      let free = state.slots.firstIndex(where: { $0.status == .free })
    else { return .finished }
    let count = min(chunk, bytes.count - progress.sent)
    let access = DMAAccess(address: address + UInt64(progress.sent), count: UInt64(count))
    let id = Self.newID(&state)
    unsafe state.slots[free] = Slot(
      status: .waiting, ticket: progress.ticket, id: id, command: progress.command, access: access,
      destination: progress.command == .dmaRead
        ? bytes.baseAddress.map { unsafe $0 + progress.sent } : nil)
    progress.sent += count
    progress.inFlight += 1
    return .send(slot: free, id: id, access, state.layout ?? .wide)
  }

  /// An ID that is neither in flight nor given up.
  static func newID(_ state: inout State) -> UInt16 {
    repeat {
      state.nextID &+= 1
    } while state.givenUp.contains(state.nextID)
      || state.slots.contains { $0.status == .waiting && $0.id == state.nextID }
    return state.nextID
  }

  /// Frees a slot whose request was not sent.
  func withdraw(_ slot: Int) {
    state.update { state in
      state.slots[slot].status = .free
      unsafe state.slots[slot].destination = nil
    }
  }

  /// Frees the slots of a transfer; IDs without a reply are given up.
  func cancel(_ ticket: UInt64) {
    let isLost = state.update { state in
      for index in state.slots.indices where state.slots[index].ticket == ticket {
        if state.slots[index].status == .waiting { state.givenUp.insert(state.slots[index].id) }
        state.slots[index] = Slot()
      }
      return state.givenUp.count > Self.maxGivenUp
    }
    guard isLost else { return }
    logger.warning("the client does not answer DMA messages; the connection is closed")
    sender.socket.shutdown()
  }

  func failure(of failure: StreamError) -> MemoryError {
    if case .deadlinePassed = failure { return .timedOut }
    return .stale
  }

  /// Sends one request: header, fixed part, then the data from its place.
  @unsafe
  func send(
    _ command: Command, _ id: UInt16, _ access: DMAAccess, _ layout: DMALayout,
    _ data: UnsafeRawBufferPointer
  ) throws(StreamError) {
    let header = Header(
      id: id, command: command,
      size: UInt32(Header.wireSize + DMAAccess.wireSize + data.count), flags: [])
    try unsafe withUnsafeTemporaryAllocation(
      byteCount: Header.wireSize + DMAAccess.wireSize, alignment: 8
    ) { (head) throws(StreamError) in
      // Sound: the allocation has as many bytes as the two write.
      var span = unsafe MutableRawSpan(_unsafeBytes: head)
      header.encode(into: &span)
      var fixed = span._mutatingExtracting(Header.wireSize...)
      access.encode(into: &fixed)
      let deadline = Deadline.after(timeout)
      guard layout == .narrow, command == .dmaWrite else {
        return try unsafe sender.send(UnsafeRawBufferPointer(head), data, before: deadline)
      }
      // The four upper bytes of the count are data here, and the message ends in four of nothing.
      var tail = unsafe [UInt8](data)
      tail += [0, 0, 0, 0]
      let short = unsafe UnsafeRawBufferPointer(rebasing: head.dropLast(4))
      try unsafe tail.span.withUnsafeBytes { (tail) throws(StreamError) in
        try unsafe sender.send(short, tail, before: deadline)
      }
    }
  }
}
