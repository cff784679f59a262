import VFIOUserTransport

@testable import NVMeDevice

/// An engine whose disk does nothing until it is let go, so that commands are under way for sure.
final class HeldEngine: StorageEngine {
  private struct State {
    var held: [StorageRequest] = []
    var isHolding = true
  }

  private let state = Monitor(State())

  /// Requests that are under way.
  var count: Int { state.withLock { $0.held.count } }

  /// Carries out what is under way, and from now on everything at once, unless it is to hold that again.
  func letGo(andHold: Bool = false) {
    let held = state.withLock { state in
      state.isHolding = andHold
      defer { state.held = [] }
      return state.held
    }
    for request in held { perform(request) }
  }

  func submit(_ request: StorageRequest) {
    let isHeld = state.withLock { state in
      if state.isHolding { state.held.append(request) }
      return state.isHolding
    }
    if !isHeld { perform(request) }
  }

  private func perform(_ request: StorageRequest) {
    var spare: PageBuffer?
    request.complete(PlainCalls.perform(request, &spare))
  }

  func flush() {}

  /// The disk has begun with everything.
  func cancel(_ request: StorageRequest) -> Bool { false }

  func close() { letGo() }
}
