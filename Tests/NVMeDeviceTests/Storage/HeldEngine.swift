import VFIOUserTransport

@testable import NVMeDevice

/// An engine that begins nothing before the test lets it, nor before it is told to flush.
final class HeldEngine: StorageEngine {
  private struct State {
    var queued: [StorageRequest] = []
    var held: [StorageRequest] = []
    var done: [StorageRequest.Operation] = []
    var isHolding = true
    var isClosed = false
  }

  private let state = Monitor(State())

  func submit(_ request: StorageRequest) { state.update { $0.queued.append(request) } }

  func flush() {
    let isHolding = state.update { state in
      state.held += state.queued
      state.queued = []
      return state.isHolding
    }
    if !isHolding { carryOut() }
  }

  /// The disk has begun with everything.
  func cancel(_ request: StorageRequest) -> Bool { false }

  func close() {
    state.update { $0.isClosed = true }
    letGo()
  }

  /// Carries out what is held, and from now on whatever is flushed, unless it is to hold that again.
  func letGo(andHold: Bool = false) {
    state.update { $0.isHolding = andHold }
    carryOut()
  }

  private func carryOut() {
    let requests = state.update { state in
      defer { state.held = [] }
      return state.held
    }
    var spare: PageBuffer?
    for request in requests {
      state.update { $0.done.append(request.operation) }
      request.complete(BlockingIO.perform(request, &spare))
    }
  }

  /// What is held, to be carried out one by one.
  func takeHeld() -> [StorageRequest] {
    state.update { state in
      defer { state.held = [] }
      return state.held
    }
  }

  func carryOut(_ request: StorageRequest) {
    var spare: PageBuffer?
    request.complete(BlockingIO.perform(request, &spare))
  }

  /// What waits to be let go.
  var held: [StorageRequest.Operation] { state.withLock { $0.held.map(\.operation) } }
  /// What was carried out.
  var done: [StorageRequest.Operation] { state.withLock { $0.done } }
  var isClosed: Bool { state.withLock { $0.isClosed } }
}
