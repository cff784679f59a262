internal import NVMeProtocol

/// Pending Asynchronous Event Requests, and events that wait for one (NVMe 1.4, section 5.2).
final class EventRequests {
  /// Most requests that wait (AERL).
  static let maxRequests = 8
  /// Most events that wait; there are no more different ones.
  static let maxEvents = 16

  private(set) var requests: [CommandSlot] = []
  private(set) var waiting: [AsynchronousEvent] = []
  /// Kinds that are masked: the host has not read the log of the last one yet.
  private(set) var held: Set<AsynchronousEvent.Kind> = []

  /// Takes over events of another controller; the requests are added one by one.
  func load(waiting: [AsynchronousEvent], held: Set<AsynchronousEvent.Kind>) {
    (self.waiting, self.held) = (waiting, held)
  }

  func reset() {
    requests = []
    waiting = []
    held = []
  }

  /// - Returns: whether there was room.
  func add(_ request: CommandSlot) -> Bool {
    guard requests.count < Self.maxRequests else { return false }
    requests.append(request)
    return true
  }

  /// Whether the command is one of the requests.
  func holds(_ request: CommandSlot) -> Bool { requests.contains { $0 === request } }

  /// - Returns: whether the request was there.
  func remove(_ request: CommandSlot) -> Bool {
    guard let place = requests.firstIndex(where: { $0 === request }) else { return false }
    requests.remove(at: place)
    return true
  }

  func add(_ event: AsynchronousEvent) {
    guard !waiting.contains(event), waiting.count < Self.maxEvents else { return }
    waiting.append(event)
  }

  /// The host has read the log page that belongs to a kind.
  func allow(_ kind: AsynchronousEvent.Kind) { held.remove(kind) }

  /// The next event that may be sent, and the request that it goes with.
  func next() -> (AsynchronousEvent, CommandSlot)? {
    guard !requests.isEmpty,
      let place = waiting.firstIndex(where: { !held.contains($0.kind) })
    else { return nil }
    let event = waiting.remove(at: place)
    held.insert(event.kind)
    return (event, requests.removeFirst())
  }
}
