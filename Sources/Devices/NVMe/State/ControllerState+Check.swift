internal import NVMeProtocol
internal import VFIOUserServer

/// What has to hold of a state, which may be anybody's, before any of it is used.
extension ControllerState {
  /// Limits of the controller that is to take it over.
  struct Limits {
    /// Queue pairs, the admin queue's included.
    var pairs: Int
    /// Most entries of an I/O queue.
    var queueEntries: Int
    /// CAP.MPSMAX.
    var maximumPageSize: UInt8
  }

  func check(_ limits: Limits) throws(StateError) {
    try checkRegisters(limits)
    let pageSize = ControllerConfiguration(rawValue: registers.enabledConfiguration).pageSize
    let mask: UInt64 = (4096 << UInt64(pageSize)) - 1
    for queue in completionQueues { try check(queue, limits, mask) }
    for queue in submissionQueues { try check(queue, limits, mask) }
    try checkNumbers(limits)
    if let shadowDoorbells {
      guard shadowDoorbells.count == 2, shadowDoorbells.allSatisfy({ $0 & mask == 0 }) else {
        throw StateError("the shadow doorbells do not start pages")
      }
    }
    if let problem = FeatureValues.problem(of: features, vectors: limits.pairs) {
      throw StateError(problem)
    }
    try checkEvents()
    guard deferredFlushErrors?.count ?? disk.namespaces.count == disk.namespaces.count,
      deferredFlushErrors?.allSatisfy({ 0..<4096 ~= $0 }) ?? true
    else { throw StateError("the errors of flushes are not an errno for each namespace") }
  }

  /// The registers hold what writes can give them, and agree with the phase.
  private func checkRegisters(_ limits: Limits) throws(StateError) {
    for value in [registers.configuration, registers.enabledConfiguration]
    where value & ~ControllerConfiguration.writable != 0 {
      throw StateError("CC cannot be 0x\(String(value, radix: 16))")
    }
    guard registers.attributes & ~AdminQueueAttributes.writable == 0 else {
      throw StateError("AQA cannot be 0x\(String(registers.attributes, radix: 16))")
    }
    let status = ControllerStatus(rawValue: registers.status)
    let isEnabled = ControllerConfiguration(rawValue: registers.configuration).isEnabled
    guard status.rawValue & ~0b11111 == 0, status.shutdown != 3,
      isEnabled == (phase != .disabled), status.isFatal == (phase == .failed),
      status.isReady == hasQueues || phase == .failed
    else {
      throw StateError(
        "a controller that is \(phase) cannot have CSTS 0x\(String(status.rawValue, radix: 16))")
    }
    // A controller that was enabled wrongly has failed, and has no queues.
    let enabled = ControllerConfiguration(rawValue: registers.enabledConfiguration)
    guard
      completionQueues.isEmpty && submissionQueues.isEmpty && !hasQueues
        || enabled.isEnabled && enabled.commandSet == 0 && enabled.arbitration == 0
          && enabled.pageSize <= limits.maximumPageSize
    else {
      throw StateError(
        "no controller here works with CC 0x\(String(enabled.rawValue, radix: 16))")
    }
  }

  private var hasQueues: Bool { phase == .enabled || phase == .paused }

  private func check(
    _ queue: Completions, _ limits: Limits, _ mask: UInt64
  ) throws(StateError) {
    try Self.checkPlace("completion", queue.id, queue.address, queue.entries, limits, mask)
    guard Int(queue.vector) < limits.pairs else {
      throw StateError("completion queue \(queue.id) has vector \(queue.vector) of \(limits.pairs)")
    }
    let totals = QueueTotals(
      entries: queue.entries, posted: queue.posted, signalled: queue.signalled, taken: queue.taken)
    guard totals != nil else {
      throw StateError(
        """
        completion queue \(queue.id) of \(queue.entries) entries cannot have \(queue.posted) posted, \
        \(queue.signalled) signalled and \(queue.taken) taken
        """)
    }
    guard queue.waiting.count <= CommandSlots.limit,
      queue.waiting.allSatisfy({ $0.count == 2 })
    else { throw StateError("completions that wait in queue \(queue.id) are malformed") }
  }

  private func check(
    _ queue: Submissions, _ limits: Limits, _ mask: UInt64
  ) throws(StateError) {
    try Self.checkPlace("submission", queue.id, queue.address, queue.entries, limits, mask)
    guard queue.head < queue.entries, queue.tail < queue.entries else {
      throw StateError(
        "submission queue \(queue.id) of \(queue.entries) entries is at \(queue.head) and \(queue.tail)"
      )
    }
    guard completionQueues.contains(where: { $0.id == queue.completionQueue }),
      (queue.id == 0) == (queue.completionQueue == 0)
    else {
      throw StateError(
        "submission queue \(queue.id) completes in queue \(queue.completionQueue), which it cannot")
    }
  }

  private static func checkPlace(
    _ kind: String, _ id: UInt16, _ address: UInt64, _ entries: UInt32, _ limits: Limits,
    _ mask: UInt64
  ) throws(StateError) {
    // AQA has twelve bits.
    let most = id == 0 ? 4096 : limits.queueEntries
    guard Int(id) < limits.pairs, 2...most ~= Int(entries), address & mask == 0 else {
      throw StateError(
        """
        \(kind) queue \(id) with \(entries) entries at 0x\(String(address, radix: 16)) is not possible: there are \
        \(limits.pairs) queues of at most \(most) entries, which start pages
        """)
    }
  }

  /// The admin queues exist exactly when the controller is enabled, and no number occurs twice.
  private func checkNumbers(_ limits: Limits) throws(StateError) {
    for numbers in [completionQueues.map(\.id), submissionQueues.map(\.id)] {
      guard Set(numbers).count == numbers.count else {
        throw StateError("a queue occurs twice")
      }
      if hasQueues, !numbers.contains(0) { throw StateError("the admin queue is missing") }
      if phase == .disabled, !numbers.isEmpty {
        throw StateError("a controller that is disabled has queues")
      }
    }
  }

  private func checkEvents() throws(StateError) {
    guard events.requests.count <= EventRequests.maxRequests,
      events.requests.isEmpty || submissionQueues.contains(where: { $0.id == 0 }),
      events.requests.allSatisfy(Self.isRequest),
      Set(events.requests.map { $0[2...3] }).count == events.requests.count,
      events.waiting.count <= EventRequests.maxEvents,
      Set(events.changedNamespaces).count == events.changedNamespaces.count,
      events.changedNamespaces.allSatisfy({ $0 >= 1 && $0 <= UInt32(disk.namespaces.count) })
    else { throw StateError("events or their requests are malformed") }
    guard errors.count <= ErrorLog.entries,
      errors.allSatisfy({ $0.count == ErrorLogEntry.wireSize })
    else { throw StateError("the error log is malformed") }
  }

  /// Whether a command is an event request; no two have the same identifier, which is in bytes 2 and 3.
  private static func isRequest(_ command: [UInt8]) -> Bool {
    command.count == SubmissionEntry.wireSize
      && command[0] == AdminOpcode.asynchronousEventRequest.rawValue
  }
}
