internal import CLinux
internal import Glibc
internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

/// The background reader: reads while nobody else does, sends what the socket did not take, and ends
/// async calls whose time is up.
extension Connection {
  /// Sends what the socket takes.
  ///
  /// Called under the lock.
  func push(_ state: inout State) {
    guard !state.isServerGone else { return discardUnsent(&state) }
    do throws(StreamError) {
      _ = try state.outbox.send(to: socket)
      if state.outbox.isEmpty, !state.coalesced.isEmpty {
        appendCoalesced(&state)
        _ = try state.outbox.send(to: socket)
      }
      rearm(&state)
    } catch .closedByPeer where state.calls.inFlight > 0 {
      // It may have answered them before it went, and said in a reply why it goes.
      state.isServerGone = true
      state.onServerGone?()
      socket.receiveOnly()
      discardUnsent(&state)
    } catch {
      lose(&state, error)
    }
  }

  private func discardUnsent(_ state: inout State) {
    state.outbox.discard()
    state.coalesced.removeAll()
    rearm(&state)
  }

  /// Something needs the socket to be read while nobody waits.
  ///
  /// Called under the lock.
  ///
  /// - Throws: ``ClientError/system(_:)`` when there is no thread to be had; nothing has changed then.
  func addBackgroundUser(_ state: inout State) throws(ClientError) {
    // Also while another thread reads, since nobody else looks at the deadlines of async calls.
    if state.failure == nil, state.threads == 0 { try startBackground(&state) }
    state.backgroundUsers += 1
    rearm(&state)
  }

  /// Registered memory needs the background reader for as long as there is any.
  ///
  /// Called after each change of what is registered.
  func noteMemory() {
    state.update { state in
      let isNeeded = service.isNeeded
      guard isNeeded != state.servesMemory else { return }
      state.servesMemory = isNeeded
      state.backgroundUsers += isNeeded ? 1 : -1
      rearm(&state)
    }
  }

  /// Watches for what is wanted now: bytes to read, if nobody reads them and somebody needs them;
  /// room to write, if messages wait for it.
  ///
  /// Called under the lock, after each change of these.
  func rearm(_ state: inout State) {
    let needsReader = state.needsReader
    guard needsReader || state.armed != 0 else { return }
    var wanted: Int32 = 0
    if state.failure == nil {
      if needsReader, !state.hasReader, !state.isGlancedAt { wanted |= CLINUX_READABLE }
      if !state.outbox.isEmpty { wanted |= CLINUX_WRITABLE }
    }
    guard wanted != state.armed else { return }
    if wanted != 0 {
      // Tried again with the next change: callers read by themselves.
      guard (try? watch(&state)) != nil else { return }
    }
    state.armed = wanted
    _ = clinux_oneshot_arm(oneshot.number, socket.descriptor.number, wanted)
  }

  /// Has the background there, and the socket in its set.
  private func watch(_ state: inout State) throws(ClientError) {
    if state.threads == 0 { try startBackground(&state) }
    guard !state.isWatched else { return }
    do throws(SystemCallError) {
      _ = try checked("epoll_ctl", clinux_oneshot_watch(oneshot.number, socket.descriptor.number))
    } catch {
      throw .system(error)
    }
    state.isWatched = true
  }

  /// The background looks now and then from here on.
  ///
  /// A socket that is watched, for nothing even, wakes its watcher's queue at each message, which costs
  /// a fortieth of a round trip.
  ///
  /// Called under the lock.
  func beginGlances(_ state: inout State) {
    if state.isWatched, state.armed == 0 {
      _ = clinux_oneshot_forget(oneshot.number, socket.descriptor.number)
      state.isWatched = false
    }
    wake.signal()
  }

  private func startBackground(_ state: inout State) throws(ClientError) {
    do throws(SystemCallError) {
      try DetachedThread.start("vfio-user-bg") { [self] in runBackground() }
      state.threads += 1
    } catch {
      throw .system(error)
    }
  }

  private func runBackground() {
    while true {
      let earliest = state.withLock { $0.nextLook }
      let happened = clinux_oneshot_wait(
        oneshot.number, wake.descriptor.number, earliest.instant)
      if happened < 0 { break }
      let isWoken = happened & CLINUX_HANGUP != 0
      if isWoken { _ = wake.take() }
      let isLost = state.update { state in
        expireAsyncCalls(&state)
        return state.failure != nil
      }
      if isLost { break }
      if happened == 0 { glance() } else if !isWoken { proceed() }
      proceedOverdue()
    }
    state.update { $0.threads -= 1 }
  }

  /// The socket is ready for something that was armed; one-shot, so nothing is armed any more.
  private func proceed() {
    var isStuck = false
    let isReader = state.update { state in
      state.armed = 0
      push(&state)
      isStuck = state.outbox.lacksReferences
      guard state.failure == nil, !state.hasReader, state.needsReader else { return false }
      state.hasReader = true
      rearm(&state)
      return true
    }
    // There is room, and nothing was taken: too many descriptors are under way, for as long as nobody
    // receives them. No event tells when that is over.
    defer { if isStuck { usleep(1000) } }
    guard isReader else { return }
    do throws(StreamError) {
      // Not for ever: deadlines of async calls have to be looked at as well.
      var reads = 0
      while reads < Self.maxReads,
        try unsafe socket.receive(into: &receiver.pointee.assembler, wait: false)
      {
        try handOutWhatIsInHand()
        reads += 1
      }
      state.withLock { leaveRole(&$0, isCaller: false) }
    } catch {
      state.update { lose(&$0, error) }
    }
  }

  /// Looks whether there is something to read that no caller reads; if so, or if calls have become rare,
  /// the socket is watched again.
  private func glance() {
    state.withLock { state in
      guard state.isGlancedAt, state.failure == nil else { return }
      let isReadable = !state.hasReader && socket.isReadable
      state.adaptivePolling.polled(found: isReadable, now: Deadline.now)
      if !state.adaptivePolling.areOn { rearm(&state) }
    }
  }

  /// Notes when the message that has begun has to be complete, and has the background look then.
  ///
  /// Called under the lock, by the thread that is about to leave the role.
  func noteMessageDue(_ state: inout State) {
    let due = unsafe receiver.pointee.messageDue() ?? .never
    guard due != state.messageDue else { return }
    state.messageDue = due
    if due != .never, state.threads > 0 { wake.signal() }
  }

  /// Reads on, or ends the connection, when a message is overdue and nobody reads.
  private func proceedOverdue() {
    let isReader = state.withLock { state in
      guard state.failure == nil, !state.hasReader, state.messageDue.hasPassed else {
        return false
      }
      state.hasReader = true
      rearm(&state)
      return true
    }
    guard isReader else { return }
    do throws(StreamError) {
      try receiveOverdue()
      try handOutWhatIsInHand()
      state.withLock { leaveRole(&$0, isCaller: false) }
    } catch {
      state.update { lose(&$0, error) }
    }
  }

  private func expireAsyncCalls(_ state: inout State) {
    for (_, index) in state.asyncCalls {
      let call = unsafe state.calls.call(index)
      guard case .async(let pending) = unsafe call.pointee.kind, pending.deadline.hasPassed else {
        continue
      }
      let command = drop(&state, pending, index)
      pending.take()?.resume(returning: .failure(.timedOut(command)))
    }
  }
}

extension Connection.State {
  /// When the background has to look again, whatever happens at the socket.
  fileprivate var nextLook: Deadline {
    isGlancedAt
      ? min(earliestDeadline, .after(nanoseconds: AdaptivePolling.interval)) : earliestDeadline
  }

  /// When the first async call, or a message of which nobody reads the rest, runs out of time.
  var earliestDeadline: Deadline {
    asyncCalls.values.reduce(hasReader ? .never : messageDue) { earliest, index in
      guard case .async(let pending) = unsafe calls.call(index).pointee.kind else {
        return earliest
      }
      return min(earliest, pending.deadline)
    }
  }

  /// An async call has ended.
  mutating func forget(_ pending: AsyncCall, _ index: Int32) {
    if asyncCalls.removeValue(forKey: ObjectIdentifier(pending)) != nil { backgroundUsers -= 1 }
  }
}
