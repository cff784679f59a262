/// A request that waits for the handler.
final class QueuedRequest: Sendable {
  let header: Header
  let payload: [UInt8]

  init(_ header: Header, _ payload: [UInt8]) {
    self.header = header
    self.payload = payload
  }
}

/// The requests that wait for the handler, in order.
struct RequestQueue: ~Copyable {
  var limit = 64
  var hasWorker = false
  private var waiting: [QueuedRequest] = []
  private var taken = 0

  /// Adds a request.
  ///
  /// - Returns: false if too many wait.
  mutating func append(_ request: QueuedRequest) -> Bool {
    guard waiting.count - taken < limit else { return false }
    // A queue that is never empty must not keep handled requests.
    if taken > limit {
      waiting.removeFirst(taken)
      taken = 0
    }
    waiting.append(request)
    return true
  }

  /// Removes the last request, because no handler thread could be started.
  mutating func removeLast() { waiting.removeLast() }

  /// The next request for the worker, nil if the worker has to end.
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
