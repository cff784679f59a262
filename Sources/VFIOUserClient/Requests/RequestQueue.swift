/// A request that waits for the handler.
final class QueuedRequest: Sendable {
  let header: Header
  let payload: [UInt8]

  init(_ header: Header, _ payload: [UInt8]) {
    self.header = header
    self.payload = payload
  }
}

/// The requests that wait for the handler, first come first served.
struct RequestQueue: ~Copyable {
  var limit = 64
  var hasWorker = false
  private var waiting: [QueuedRequest] = []
  private var taken = 0

  /// Adds a request.
  ///
  /// - Returns: false when there are too many.
  mutating func append(_ request: QueuedRequest) -> Bool {
    guard waiting.count - taken < limit else { return false }
    // A queue that never runs empty must not keep what was handled.
    if taken > limit {
      waiting.removeFirst(taken)
      taken = 0
    }
    waiting.append(request)
    return true
  }

  /// Takes back what was added last, as there is nobody to handle it.
  mutating func removeLast() { waiting.removeLast() }

  /// The next one for the worker, or nil, with which the worker ends.
  mutating func next() -> QueuedRequest? {
    guard taken < waiting.count else {
      waiting.removeAll()
      taken = 0
      hasWorker = false
      return nil
    }
    defer { taken += 1 }
    return waiting[taken]
  }

  mutating func removeAll() {
    waiting.removeAll()
    taken = 0
  }
}
