internal import LinuxPrimitives
internal import CLinux
internal import Glibc
internal import SystemPackage

/// The background reader: reads while nobody else does, sends what the socket did not take, and ends
/// async calls whose time is up.
extension Connection {
  /// Something needs the socket to be read while nobody waits.
  ///
  /// - Throws: ``ClientError/system(_:)`` when there is no thread to be had; nothing has changed then.
  func addBackgroundUser(_ state: inout State) throws(ClientError) {
    // Also while another thread reads, since nobody else looks at the deadlines of async calls.
    if !state.isLost, state.background.threads == 0 { try startBackground(&state) }
    state.background.addUser()
    rearm(&state)
  }

  /// Registered memory needs the background reader for as long as there is any.
  ///
  /// Called after each change of what is registered.
  func noteMemory() {
    state.update { state in
      if state.background.serveMemory(service.isNeeded) { rearm(&state) }
    }
  }

  /// Watches for what is wanted now: bytes to read, if nobody reads them and somebody needs them;
  /// room to write, if messages wait for it.
  ///
  /// Called after each change of these.
  func rearm(_ state: inout State) {
    let needsReader = state.needsReader
    guard needsReader || state.background.armed != 0 else { return }
    var wanted: Int32 = 0
    if !state.isLost {
      if needsReader, !state.reader.isTaken, !state.isPolled { wanted |= CLINUX_READABLE }
      if !state.sending.isEmpty { wanted |= CLINUX_WRITABLE }
    }
    guard wanted != state.background.armed else { return }
    if wanted != 0 {
      // Tried again with the next change: callers read by themselves.
      guard (try? watchSocket(&state)) != nil else { return }
    }
    state.background.armed = wanted
    watch.arm(socket, for: wanted)
  }

  /// Has the background there, and the socket in its set.
  private func watchSocket(_ state: inout State) throws(ClientError) {
    if state.background.threads == 0 { try startBackground(&state) }
    guard !state.background.isWatched else { return }
    do throws(SystemCallError) { try watch.add(socket) } catch { throw .system(error) }
    state.background.isWatched = true
  }

  /// The background polls now and then from here on.
  ///
  /// Even with an empty interest mask, a registered socket runs epoll's wake-up callback for every message,
  /// which costs a fortieth of a round trip.
  func beginPolling(_ state: inout State) {
    if state.background.isWatched, state.background.armed == 0 {
      watch.remove(socket)
      state.background.isWatched = false
    }
    watch.wake()
  }

  private func startBackground(_ state: inout State) throws(ClientError) {
    do throws(SystemCallError) {
      try DetachedThread.start("vfio-user-bg") { [self] in runBackground() }
      state.background.threads += 1
    } catch {
      throw .system(error)
    }
  }

  private func runBackground() {
    while true {
      let earliest = state.withLock { $0.nextLook }
      let event = watch.wait(until: earliest)
      if event == .failed { break }
      let isLost = state.update { state in
        expireAsyncCalls(&state)
        return state.isLost
      }
      if isLost { break }
      switch event {
      case .ready: proceed()
      case .timedOut: poll()
      case .woken, .failed: break
      }
      proceedOverdue()
    }
    state.update { $0.background.threads -= 1 }
  }

  /// Handles one epoll event; EPOLLONESHOT has disarmed the socket.
  private func proceed() {
    var isStuck = false
    let isReader = state.update { state in
      state.background.armed = 0
      push(&state)
      isStuck = state.sending.lacksReferences
      guard !state.isLost, state.needsReader, state.reader.take() else { return false }
      rearm(&state)
      return true
    }
    // There is room, and nothing was taken: too many descriptors are under way, for as long as nobody
    // receives them. No event tells when that is over.
    defer { if isStuck { usleep(1000) } }
    guard isReader else { return }
    readInRole { () throws(StreamError) in
      // Not for ever: deadlines of async calls have to be looked at as well.
      var reads = 0
      while reads < Self.maxReads,
        try unsafe socket.receive(into: &receiver.pointee.assembler, wait: false)
      {
        try handOutWhatIsInHand()
        reads += 1
      }
    }
  }

  /// Looks whether there is something to read that no caller reads; if so, or if calls have become rare,
  /// the socket is watched again.
  private func poll() {
    state.withLock { state in
      guard state.isPolled, !state.isLost else { return }
      let isReadable = !state.reader.isTaken && socket.isReadable
      state.background.polling.polled(found: isReadable, now: Deadline.now)
      if !state.background.polling.areOn { rearm(&state) }
    }
  }

  /// Reads on, or ends the connection, when a message is overdue and nobody reads.
  private func proceedOverdue() {
    let isReader = state.withLock { state in
      guard !state.isLost, state.reader.neglectedMessage.hasPassed, state.reader.take() else {
        return false
      }
      rearm(&state)
      return true
    }
    guard isReader else { return }
    readInRole { () throws(StreamError) in
      try receiveOverdue()
      try handOutWhatIsInHand()
    }
  }

  /// Reads in the role of the reader, which it leaves then.
  private func readInRole(_ read: () throws(StreamError) -> Void) {
    do throws(StreamError) {
      try read()
      state.withLock { leaveRole(&$0, isCaller: false) }
    } catch {
      state.update { lose(&$0, error) }
    }
  }

  func expireAsyncCalls(_ state: inout State) {
    guard state.calls.hasTasks else { return }
    for call in state.calls.tasks {
      guard case .async(let pending) = call.kind, pending.deadline.hasPassed else { continue }
      let command = drop(&state, pending, call)
      pending.resumeLater(.failure(.timedOut(command)))
    }
  }
}
