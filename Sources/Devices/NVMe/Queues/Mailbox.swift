internal import NVMeProtocol
internal import Synchronization
internal import VFIOUserServer
internal import VFIOUserTransport

/// What other threads tell the controller's: orders of the host, requests that are done.
final class Mailbox: StorageReceiver {
  /// What happened; handled one after the other, in the order in which it came.
  enum Event {
    /// A register write wants something.
    case order(RegisterBlock.Order)
    /// The device was reset; the number is that of the new life.
    case reset(UInt64)
    /// The client has gone.
    case clientLeft
    /// Another client is there, with its memory.
    case adopt(Transfer)
    /// Somebody says that a file may have another size.
    case measure
    /// The process is about to end.
    case close
  }

  private struct State {
    var events: [Event] = []
    var done: [StorageRequest] = []
  }

  private let state = Monitor(State())
  private let hasEvents = Atomic<Bool>(false)
  private let hasDone = Atomic<Bool>(false)
  let wake = WakeUp()
  /// Whether some of the client's memory can only be reached by messages, so that its thread must not
  /// wait for the controller.
  let usesMessages = Atomic<Bool>(false)
  /// Whether the controller waits for the host to take completions, and wants to hear of it.
  let wantsHeads = Atomic<Bool>(false)
  /// The last life of which nothing is left, and whether the controller's thread has ended.
  let settled = Monitor((life: UInt64(0), isClosed: false))

  /// Leaves an event.
  func post(_ event: Event) {
    state.withLock { $0.events.append(event) }
    hasEvents.store(true, ordering: .releasing)
    wake.signal()
  }

  /// Whether there are events that were not handled.
  var holdsEvents: Bool { hasEvents.load(ordering: .acquiring) }

  /// The next event, if there is one.
  func nextEvent() -> Event? {
    guard hasEvents.load(ordering: .acquiring) else { return nil }
    return state.withLock { state in
      guard !state.events.isEmpty else {
        hasEvents.store(false, ordering: .relaxed)
        return nil
      }
      return state.events.removeFirst()
    }
  }

  func completed(_ request: StorageRequest) {
    state.withLock { $0.done.append(request) }
    hasDone.store(true, ordering: .releasing)
    wake.signal()
  }

  /// Swaps what is done for an empty array.
  func takeDone(_ list: inout [StorageRequest]) {
    guard hasDone.load(ordering: .acquiring) else { return }
    state.withLock { state in
      hasDone.store(false, ordering: .relaxed)
      swap(&state.done, &list)
    }
  }
}
