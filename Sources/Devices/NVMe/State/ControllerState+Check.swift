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
    let pageSize = ControllerConfiguration(rawValue: registers.enabledConfiguration).pageSize
    guard pageSize <= limits.maximumPageSize else {
      throw StateError("CC.MPS is \(pageSize), at most \(limits.maximumPageSize) is possible")
    }
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
  }

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
    let hasQueues = phase == .enabled || phase == .paused
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
      events.requests.allSatisfy({ $0.count == SubmissionEntry.wireSize }),
      events.waiting.count <= EventRequests.maxEvents,
      events.changedNamespaces.allSatisfy({ $0 >= 1 && $0 <= UInt32(disk.namespaces.count) })
    else { throw StateError("events or their requests are malformed") }
    guard errors.count <= ErrorLog.entries,
      errors.allSatisfy({ $0.count == ErrorLogEntry.wireSize })
    else { throw StateError("the error log is malformed") }
  }
}
