extension NVMeController {
  /// Maximum number of entries of an I/O queue (CAP.MQES).
  public var maxEntries: Int { Int(capabilities.maximumQueueEntriesZeroBased) + 1 }

  /// Requests a number of I/O queues (Number of Queues feature).
  ///
  /// - Returns: the numbers that the controller allocated.
  public func requestQueues(_ count: Int) throws(NVMeDriverError) -> QueueCounts {
    let wanted = QueueCounts(submission: count, completion: count)
    return QueueCounts(rawValue: try setFeature(.numberOfQueues, wanted.rawValue))
  }

  /// Creates a completion queue and a submission queue that uses it.
  ///
  /// - Parameters:
  ///   - id: the ID of both queues, from 1; also the interrupt vector.
  ///   - entries: number of entries of each, 2 to ``maxEntries``.
  public func createQueue(_ id: UInt16, entries: Int) throws(NVMeDriverError) -> QueuePair {
    let queue = try makeQueue(id, entries: entries, vector: UInt32(id))
    do throws(NVMeDriverError) {
      try perform(.createCompletionQueue(queue, vector: id))
      try perform(.createSubmissionQueue(queue))
    } catch {
      // A controller that did not answer may still use the memory; one that rejected the command
      // does not.
      if case .refused = error { release(queue) }
      throw error
    }
    queues[id] = queue
    return queue
  }

  /// Deletes both queues of a pair.
  public func deleteQueue(_ id: UInt16) throws(NVMeDriverError) {
    for opcode in [AdminOpcode.deleteSubmissionQueue, .deleteCompletionQueue] {
      var entry = SubmissionEntry(opcode: opcode.rawValue)
      entry.dword10 = UInt32(id)
      try perform(entry)
    }
    if let queue = queues.removeValue(forKey: id) { release(queue) }
  }

  /// Enables shadow doorbells: from now on the controller reads the doorbells of I/O queues from
  /// memory.
  public func useShadowDoorbells() throws(NVMeDriverError) {
    let made = try ShadowDoorbells(arena, stride: capabilities.doorbellStride)
    var entry = SubmissionEntry(opcode: AdminOpcode.doorbellBufferConfig.rawValue)
    entry.dataPointer1 = made.doorbells.address
    entry.dataPointer2 = made.eventIndices.address
    try perform(entry)
    doorbells.shadow = made
    for queue in queues.values { queue.doorbells.shadow = made }
  }

  /// Writes doorbells in memory from now on, where the device lets them be mapped; those of the admin queue too.
  ///
  /// - Returns: whether it does.
  public func mapDoorbells() throws(NVMeDriverError) -> Bool {
    guard let mapped = try Self.mappedDoorbells(of: client, stride: capabilities.doorbellStride)
    else { return false }
    doorbells.mapped = mapped
    admin?.doorbells.mapped = mapped
    for queue in queues.values { queue.doorbells.mapped = mapped }
    return true
  }

  /// The registers with all doorbells in the first page of them mapped, or nil.
  static func mappedDoorbells(
    of client: Client, stride: UInt8
  ) throws(NVMeDriverError) -> MappedRegion? {
    let mapped = try throughClient { () throws(ClientError) -> MappedRegion? in
      guard try !client.region(.bar0).mappableAreas.isEmpty else { return nil }
      return try client.mapRegion(.bar0)
    }
    let isWhole = mapped?.isMapped(
      .writable, at: RegisterOffset.doorbells, count: DMAArena.pageSize)
    return isWhole == true ? mapped : nil
  }
}

extension SubmissionEntry {
  /// Create I/O Completion Queue (NVMe 1.4, section 5.3): contiguous; interrupts enabled unless
  /// polled.
  public static func createCompletionQueue(_ queue: QueuePair, vector: UInt16) -> SubmissionEntry {
    var entry = SubmissionEntry(opcode: AdminOpcode.createCompletionQueue.rawValue)
    entry.dataPointer1 = queue.completion.address
    entry.dword10 = UInt32(queue.id) | UInt32(queue.entries - 1) << 16
    entry.dword11 = UInt32(vector) << 16 | (queue.interrupt == nil ? 0b01 : 0b11)
    return entry
  }

  /// Create I/O Submission Queue (NVMe 1.4, section 5.4): contiguous; uses the completion queue
  /// with its ID.
  public static func createSubmissionQueue(_ queue: QueuePair) -> SubmissionEntry {
    var entry = SubmissionEntry(opcode: AdminOpcode.createSubmissionQueue.rawValue)
    entry.dataPointer1 = queue.submission.address
    entry.dword10 = UInt32(queue.id) | UInt32(queue.entries - 1) << 16
    entry.dword11 = UInt32(queue.id) << 16 | 0b01
    return entry
  }
}
