internal import LinuxPrimitives
internal import Synchronization
internal import SystemPackage

/// Requests of the server that the user's handler answers, on a thread of the connection.
extension Connection {
  func queue(_ header: Header, _ payload: Span<UInt8>) throws(Errno) {
    guard handler != nil else { throw .noFunction }
    let request = QueuedRequest(header, payload.copied())
    let isQueued = state.update { state in
      guard state.requests.append(request) else { return false }
      if !state.requests.hasWorker { state.requests.hasWorker = startWorker() }
      if !state.requests.hasWorker { state.requests.removeLast() }
      return state.requests.hasWorker
    }
    guard isQueued else { throw .resourceBusy }
  }

  private func startWorker() -> Bool {
    do throws(SystemCallError) {
      try DetachedThread.start("vfio-user-req") { [self] in runWorker() }
      return true
    } catch {
      return false
    }
  }

  /// Runs the handler for each waiting request, and ends when there are none.
  private func runWorker() {
    while let request = state.update({ $0.requests.next() }), let handler {
      handler(IncomingRequest(request, from: self))
    }
  }
}

extension Connection: RequestSender {
  var isGone: Bool { isLost.load(ordering: .acquiring) }

  func answer(_ header: Header, _ payload: [UInt8]) {
    answer(header, payload.count) { $0.copy(payload.span) }
  }
}
