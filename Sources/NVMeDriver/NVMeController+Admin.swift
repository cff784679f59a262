internal import LinuxPrimitives

extension NVMeController {
  /// Default timeout of a command.
  public static let commandTimeout: Duration = .seconds(30)

  /// Executes an admin command and returns its completion, successful or not.
  ///
  /// - Throws: ``NVMeDriverError/timedOut(opcode:)``; ``NVMeDriverError/fatal(_:)`` if the
  ///   controller reports fatal status (CSTS.CFS) meanwhile.
  public func answer(
    to entry: SubmissionEntry, timeout: Duration = commandTimeout
  ) throws(NVMeDriverError) -> CompletionEntry {
    guard let admin else { throw .unsuitable("the controller is not enabled") }
    return try answer(to: entry, on: admin, timeout: timeout)
  }

  /// Executes a command on a queue whose completions nobody else polls, and returns its completion.
  public func answer(
    to entry: SubmissionEntry, on queue: QueuePair, timeout: Duration = commandTimeout
  ) throws(NVMeDriverError) -> CompletionEntry {
    let id = try queue.submit(entry)
    try queue.ring()
    let deadline = Deadline.after(timeout)
    var found: CompletionEntry?
    while found == nil {
      let step = Duration.nanoseconds(min(max(0, deadline.remaining), 100_000_000))
      let count = try queue.wait(for: step) { answer in
        if answer.commandID == id {
          found = answer
        } else if queue.id == 0 {
          noteEvent(answer)
        }
      }
      guard found == nil, count == 0 else { continue }
      let status = try self.status
      if status.isFatal { throw .fatal(status) }
      guard !deadline.hasPassed else { throw .timedOut(opcode: entry.opcode) }
    }
    guard let found else { throw .timedOut(opcode: entry.opcode) }
    return found
  }

  /// Executes a command that must succeed.
  ///
  /// - Parameters:
  ///   - entry: the command.
  ///   - queue: the queue; nil for the admin queue.
  ///   - timeout: maximum duration of the command.
  /// - Returns: dword 0 of the completion.
  /// - Throws: ``NVMeDriverError/refused(opcode:_:)`` if the command fails.
  @discardableResult
  public func perform(
    _ entry: SubmissionEntry, on queue: QueuePair? = nil, timeout: Duration = commandTimeout
  ) throws(NVMeDriverError) -> UInt32 {
    guard let queue = queue ?? admin else {
      throw .unsuitable("the controller is not enabled")
    }
    let answer = try answer(to: entry, on: queue, timeout: timeout)
    guard answer.status.isSuccess else {
      throw .refused(opcode: entry.opcode, answer.status)
    }
    return answer.result
  }

  /// Executes an admin command that returns data.
  public func data(
    _ entry: SubmissionEntry, count: Int, timeout: Duration = commandTimeout
  ) throws(NVMeDriverError) -> [UInt8] {
    let buffer = try DataBuffer(count, in: arena)
    // If the command times out, the controller may still write to the buffer: it is not freed then.
    var entry = entry
    entry.point(to: buffer, count: count)
    let answer = try answer(to: entry, timeout: timeout)
    defer { arena.free(buffer) }
    guard answer.status.isSuccess else {
      throw .refused(opcode: entry.opcode, answer.status)
    }
    return buffer.data.read(count: count)
  }
}

extension NVMeController {
  /// Executes Identify and returns the data structure as bytes.
  public func identify(
    _ selector: IdentifySelector, namespace: UInt32 = 0
  ) throws(NVMeDriverError) -> [UInt8] {
    var entry = SubmissionEntry(
      opcode: AdminOpcode.identify.rawValue, namespaceID: namespace)
    entry.dword10 = UInt32(selector.rawValue)
    return try data(entry, count: 4096)
  }

  /// The Identify Controller data structure.
  public func identifyController() throws(NVMeDriverError) -> IdentifyController {
    try decode(try identify(.controller))
  }

  /// The Identify Namespace data structure of a namespace.
  public func identifyNamespace(_ id: UInt32) throws(NVMeDriverError) -> IdentifyNamespace {
    try decode(try identify(.namespace, namespace: id))
  }

  /// The IDs of the active namespaces, at most 1024.
  public func activeNamespaces() throws(NVMeDriverError) -> [UInt32] {
    let bytes = try identify(.activeNamespaces)
    do throws(NVMeWireError) {
      return try NumberList(decoding: bytes.span).numbers
    } catch {
      throw .unsuitable(error.description)
    }
  }

  /// The first `count` bytes of a log page; `count` must be a multiple of 4.
  public func log(
    _ page: LogPage, namespace: UInt32 = .max, count: Int
  ) throws(NVMeDriverError) -> [UInt8] {
    var entry = SubmissionEntry(
      opcode: AdminOpcode.getLogPage.rawValue, namespaceID: namespace)
    let dwords = UInt32(max(1, count / 4) - 1)
    entry.dword10 = UInt32(page.rawValue) | (dwords & 0xFFFF) << 16
    entry.dword11 = dwords >> 16
    return try data(entry, count: count)
  }

  /// The SMART / Health Information log.
  public func health() throws(NVMeDriverError) -> HealthLog {
    try decode(try log(.health, count: HealthLog.wireSize))
  }

  /// The most recent entries of the error log.
  public func errors(_ count: Int = 16) throws(NVMeDriverError) -> [ErrorLogEntry] {
    let size = ErrorLogEntry.wireSize
    let bytes = try log(.errors, count: count * size)
    var entries: [ErrorLogEntry] = []
    for index in 0..<count {
      let entry: ErrorLogEntry = try decode(Array(bytes[index * size..<(index + 1) * size]))
      if entry.errorCount > 0 { entries.append(entry) }
    }
    return entries
  }

  /// The value of a feature.
  public func feature(
    _ feature: Feature, _ selector: FeatureSelector = .current
  ) throws(NVMeDriverError) -> UInt32 {
    var entry = SubmissionEntry(opcode: AdminOpcode.getFeatures.rawValue)
    entry.dword10 = UInt32(feature.rawValue) | UInt32(selector.rawValue) << 8
    return try perform(entry)
  }

  /// Sets a feature.
  ///
  /// - Returns: dword 0 of the completion.
  @discardableResult
  public func setFeature(_ feature: Feature, _ value: UInt32) throws(NVMeDriverError) -> UInt32 {
    var entry = SubmissionEntry(opcode: AdminOpcode.setFeatures.rawValue)
    entry.dword10 = UInt32(feature.rawValue)
    entry.dword11 = value
    return try perform(entry)
  }

  private func decode<Structure: ByteStructure>(
    _ bytes: [UInt8]
  ) throws(NVMeDriverError) -> Structure {
    do throws(NVMeWireError) {
      return try Structure(decoding: bytes.span)
    } catch {
      throw .unsuitable(error.description)
    }
  }
}

extension NVMeController {
  /// Submits an Asynchronous Event Request; the event is later added to ``events``.
  public func requestEvent() throws(NVMeDriverError) {
    guard let admin else { throw .unsuitable("the controller is not enabled") }
    eventRequests.insert(
      try admin.submit(
        SubmissionEntry(opcode: AdminOpcode.asynchronousEventRequest.rawValue)))
    try admin.ring()
  }

  /// Handles a completion nobody waits for: an event, or that of a command that had timed out.
  private func noteEvent(_ answer: CompletionEntry) {
    guard eventRequests.remove(answer.commandID) != nil, answer.status.isSuccess else { return }
    events.append(AsynchronousEvent(rawValue: answer.result))
  }

  /// Waits for an event.
  ///
  /// - Returns: the oldest event not yet taken, nil on timeout.
  public func nextEvent(within timeout: Duration) throws(NVMeDriverError) -> AsynchronousEvent? {
    let deadline = Deadline.after(timeout)
    while events.isEmpty, let admin {
      let rest = Duration.nanoseconds(max(0, deadline.remaining))
      guard try admin.wait(for: rest, noteEvent) > 0 else { break }
    }
    return events.isEmpty ? nil : events.removeFirst()
  }

  /// Returns the oldest event not yet taken, without waiting.
  public func takeEvent() -> AsynchronousEvent? { events.isEmpty ? nil : events.removeFirst() }
}
