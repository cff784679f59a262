internal import Logging
internal import NVMeProtocol

/// What the controller has to tell, and the requests of the host that wait for it.
struct EventQueue {
  /// Most requests that wait (AERL).
  static let maxRequests = 8
  /// Most events that wait; more of them say nothing new.
  private static let maxEvents = 16

  private(set) var requests: [CommandSlot] = []
  private var waiting: [AsynchronousEvent] = []
  /// Kinds of which the host has one that it has not looked into.
  private var held: Set<AsynchronousEvent.Kind> = []

  mutating func reset() { self = EventQueue() }

  /// - Returns: whether there was room.
  mutating func add(_ request: CommandSlot) -> Bool {
    guard requests.count < Self.maxRequests else { return false }
    requests.append(request)
    return true
  }

  /// Whether the command is one of the requests.
  func holds(_ request: CommandSlot) -> Bool { requests.contains { $0 === request } }

  /// - Returns: whether the request was there.
  mutating func remove(_ request: CommandSlot) -> Bool {
    guard let place = requests.firstIndex(where: { $0 === request }) else { return false }
    requests.remove(at: place)
    return true
  }

  mutating func add(_ event: AsynchronousEvent) {
    guard !waiting.contains(event), waiting.count < Self.maxEvents else { return }
    waiting.append(event)
  }

  /// The host has looked into what it was told.
  mutating func allow(_ kind: AsynchronousEvent.Kind) { held.remove(kind) }

  /// The next event that may be sent, and the request that it goes with.
  mutating func next() -> (AsynchronousEvent, CommandSlot)? {
    guard !requests.isEmpty,
      let place = waiting.firstIndex(where: { !held.contains($0.kind) })
    else { return nil }
    let event = waiting.remove(at: place)
    held.insert(event.kind)
    return (event, requests.removeFirst())
  }
}

/// Asynchronous Event Request (NVMe 1.4, section 5.2).
extension Controller {
  func requestEvent(_ slot: CommandSlot) throws(CommandError) -> Progress {
    guard events.add(slot) else {
      throw CommandError(Status.eventRequestLimitExceeded.final)
    }
    slot.work = .waiting
    // It may wait for ever: other commands may have its identifier meanwhile, as some hosts' have.
    slot.releaseIdentifier()
    sendEvents()
    return .pending
  }

  /// Answers requests, unless the client has gone: then for the next one.
  func sendEvents() {
    guard !isPaused else { return }
    while let (event, slot) = events.next() { finish(slot, nil, result: event.rawValue) }
  }

  private func send(_ event: AsynchronousEvent) {
    events.add(event)
    sendEvents()
  }

  /// Tells of doorbells that make no sense.
  func noteFaults() {
    let faults = doorbells.takeFaults()
    guard !faults.isEmpty else { return }
    for (fault, event) in [
      (Doorbells.Faults.register, AsynchronousEvent.invalidDoorbellRegister),
      (.value, .invalidDoorbellValue),
    ] where faults.contains(fault) {
      var entry = ErrorLogEntry()
      entry.submissionQueue = 0xFFFF
      entry.commandID = 0xFFFF
      entry.parameterLocation = 0xFFFF
      entry.status = .invalidField
      errors.add(entry, count: &health.errorLogEntries)
      send(event)
    }
  }

  /// A threshold or the events that the host wants have changed.
  func healthHasChanged() {
    let warning = UInt32(criticalWarning) & 1 << 1
    guard features[.asynchronousEvents] & warning != 0 else { return }
    send(.temperatureThreshold)
  }

  /// Looks whether files have another size, and tells the host of those that have.
  func measureNamespaces() {
    for namespace in namespaces where namespace.measure() {
      logger.notice(
        "a namespace has another size",
        metadata: ["namespace": "\(namespace.id)", "blocks": "\(namespace.blocks)"])
      if !changedNamespaces.contains(namespace.id) { changedNamespaces.append(namespace.id) }
      let wanted = EventConfiguration(rawValue: features[.asynchronousEvents])
      if stage == .enabled, wanted.contains(.namespaceAttributes) { send(.namespaceChanged) }
    }
  }
}
