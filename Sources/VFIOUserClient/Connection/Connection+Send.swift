internal import CLinux
internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

/// Commands whose sender does not wait: posted ones, and those that a fence waits for later.
extension Connection {
  /// Sends something with No_reply, once there is room for it.
  ///
  /// - Parameter attempt: says whether there was, and sends it then.
  func post(
    timeout: Duration?, _ attempt: () throws(ClientError) -> Bool
  ) throws(ClientError) {
    guard try !attempt() else { return }
    let own = timeout.map { Deadline.after($0) }
    repeat {
      try waitForBacklog(before: own)
    } while try !attempt()
  }

  /// Sends a command with No_reply, unless too much waits for the socket.
  ///
  /// - Returns: whether it was sent.
  func tryPost(
    _ command: Command, payload size: Int, fill: (inout MutableRawSpan) -> Void
  ) throws(ClientError) -> Bool {
    try state.update { state throws(ClientError) in
      if let sendFailure = state.sendFailure { throw .disconnected(sendFailure) }
      guard state.hasRoomForPosts else { return false }
      let header = Header(
        id: PendingCalls.posted, command: command, size: 0, flags: .noReply)
      enqueue(&state, header, size, DescriptorList(), fill)
      return true
    }
  }

  /// Posts a write of up to 8 bytes, unless too much waits for the socket.
  ///
  /// While the socket is full, such writes are collected and sent in one message, if the server
  /// takes those.
  ///
  /// - Returns: whether it was posted.
  func tryPost(_ write: RegionWrite) throws(ClientError) -> Bool {
    let isCollected = try state.withLock { state throws(ClientError) -> Bool in
      if let sendFailure = state.sendFailure { throw .disconnected(sendFailure) }
      guard state.mayCoalesce, !state.outbox.isEmpty, state.coalesced.count < Self.maxCoalesced
      else { return false }
      state.coalesced.append(write)
      return true
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

  /// Most writes in one message.
  static let maxCoalesced = 256
  static let maxCoalescedBytes = 8 + maxCoalesced * RegionWrite.wireSize

  /// Puts the collected writes in front of whatever is sent next.
  ///
  /// Called under the lock.
  func appendCoalesced(_ state: inout State) {
    guard !state.coalesced.isEmpty else { return }
    let message = RegionWriteMulti(writes: state.coalesced)
    trace.record(.coalesced(writes: state.coalesced.count))
    state.outbox.append(
      Header(id: PendingCalls.posted, command: .regionWriteMulti, size: 0, flags: .noReply),
      message)
    state.coalesced.removeAll(keepingCapacity: true)
  }

  /// A sender that waits for nothing else waits here when too much waits for the socket.
  ///
  /// - Parameter own: the sender's deadline; without one it waits for as long as the server reads.
  private func waitForBacklog(before own: Deadline?) throws(ClientError) {
    while true {
      let taken = state.withLock { $0.outbox.taken }
      let isDrained: Void? = state.withLock(
        when: { $0.sendFailure != nil || $0.hasRoomForPosts }, before: own ?? deadline(nil)
      ) { _ in }
      guard isDrained == nil else { return }
      // Whoever brought a time of their own may have more patience later.
      guard own == nil else { throw .timedOut(.regionWrite) }
      guard state.withLock({ $0.outbox.taken == taken }) else { continue }
      let reason = StreamError.deadlinePassed(during: .sending)
      state.update { lose(&$0, reason) }
      throw .disconnected(reason)
    }
  }

  /// Sends a command whose reply `group` counts.
  ///
  /// - Parameter settlement: hears how the command ended, unless this throws.
  func send(
    _ command: Command, payload size: Int, descriptors: consuming DescriptorList = DescriptorList(),
    in group: FenceGroup, _ completion: CommandCompletion? = nil,
    fill: (inout MutableRawSpan) -> Void
  ) throws(ClientError) {
    var carried: DescriptorList? = consume descriptors
    try state.update { state throws(ClientError) in
      let index = try begin(&state, command, .fenced(group, completion))
      group.outstanding += 1
      let header = Header(
        id: unsafe state.calls.call(index).pointee.id, command: command, size: 0)
      enqueue(&state, header, size, carried.take() ?? DescriptorList(), fill)
    }
  }

  /// Waits until every command of the group is answered.
  ///
  /// - Throws: the first failure among the answers.
  func fence(_ group: FenceGroup, timeout: Duration? = nil) throws(ClientError) {
    let deadline = deadline(timeout)
    let waiter: Waiter? = state.withLock { state in
      guard group.outstanding > 0 else { return nil }
      let index = state.calls.beginWithoutID()
      group.waiter = index
      return takeRoleOrSleep(&state, index)
    }
    if let waiter {
      let holdsRole = wait(waiter, before: deadline)
      let late = state.update { state in
        if holdsRole { leaveRole(&state) }
        if group.waiter == waiter.index { group.waiter = nil }
        state.calls.release(waiter.index)
        return abandonAll(&state, of: group)
      }
      if let late { throw .timedOut(late) }
    }
    if let failure = state.withLock({ _ in group.failure }) { throw failure }
  }

  /// Gives up what is still out.
  ///
  /// - Returns: one of the commands that are late, nil if none is.
  @discardableResult
  func abandonAll(_ state: inout State, of group: FenceGroup) -> Command? {
    guard group.outstanding > 0 else { return nil }
    var late: Command?
    for index in 0..<Int32(state.calls.count) {
      let call = unsafe state.calls.call(index)
      guard case .fenced(let other, let completion) = unsafe call.pointee.kind, other === group
      else { continue }
      let command = unsafe call.pointee.command
      if let completion {
        completion(.timedOut(command), false)
        state.lateCompletions[unsafe call.pointee.id] = completion
      }
      late = command
      abandon(&state, index)
    }
    group.outstanding = 0
    return late
  }
}

extension Connection.State {
  /// Whether little enough waits for the socket for posted writes to join it.
  fileprivate var hasRoomForPosts: Bool { outbox.unsentCount <= Connection.backlogLimit }
}
