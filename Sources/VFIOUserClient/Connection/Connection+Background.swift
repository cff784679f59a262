internal import LinuxPrimitives
internal import CLinux
internal import Glibc
internal import SystemPackage

/// The background reader: reads while no caller reads, sends what the socket did not take, and ends async
/// calls at their deadlines.
extension Connection {
  /// Adds a user of the background reader.
  ///
  /// - Throws: ``ClientError/system(_:)`` if no thread can be started; nothing has changed then.
  func addBackgroundUser(_ state: inout State) throws(ClientError) {
    // Also while another thread reads, since only the background reader checks the deadlines of async calls.
    if !state.isLost, state.background.threads == 0 { try startBackground(&state) }
    state.background.addUser()
    rearm(&state)
  }

  /// Starts or ends the background reader's use by registered memory.
  ///
  /// Called after each change of the registered windows.
  func noteMemory() {
    state.update { state in
      if state.background.serveMemory(service.isNeeded) { rearm(&state) }
    }
  }

  /// Arms epoll for the events that are needed: readable, if no caller reads and the background reader has
  /// users; writable, if messages wait.
  ///
  /// Called after each change of these conditions.
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
      // Tried again at the next change; callers read by themselves until then.
      guard (try? watchSocket(&state)) != nil else { return }
    }
    state.background.armed = wanted
    watch.arm(socket, for: wanted)
  }

  /// Makes sure that the background thread runs and the socket is in its epoll set.
  private func watchSocket(_ state: inout State) throws(ClientError) {
    if state.background.threads == 0 { try startBackground(&state) }
    guard !state.background.isWatched else { return }
    do throws(SystemCallError) { try watch.add(socket) } catch { throw .system(error) }
    state.background.isWatched = true
  }

  /// Switches the background reader to polling.
  ///
  /// The socket leaves the epoll set: even with an empty interest mask, epoll's wake-up callback runs for
  /// every message, which costs 2.5 % of a round trip.
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
    // The socket is writable but took nothing: too many descriptors are in flight. No event reports when that
    // is over.
    defer { if isStuck { usleep(1000) } }
    guard isReader else { return }
    readInRole { () throws(StreamError) in
      // A limited number, because deadlines of async calls have to be checked as well.
      var reads = 0
      while reads < Self.maxReads,
        try unsafe socket.receive(into: &receiver.pointee.assembler, wait: false)
      {
        try deliverReceived()
        reads += 1
      }
    }
  }

  /// Polls for data that no caller reads; if there is some, or calls have become rare, arms epoll again.
  private func poll() {
    state.withLock { state in
      guard state.isPolled, !state.isLost else { return }
      let isReadable = !state.reader.isTaken && socket.isReadable
      state.background.polling.polled(found: isReadable, now: Deadline.now)
      if !state.background.polling.areOn { rearm(&state) }
    }
  }

  /// Continues to read a message that is overdue, or ends the connection.
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
      try deliverReceived()
    }
  }

  /// Takes the reader's role, reads, and leaves the role.
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
