internal import DequeModule
internal import NVMeProtocol
internal import Synchronization
internal import VFIOUserServer
internal import VFIOUserTransport

/// What other threads leave for the controller's: orders of the host, requests that are done.
final class Mailbox: StorageReceiver {
  /// What happened; handled one after the other, in the order in which it came.
  enum Event {
    /// A register write wants something.
    case order(RegisterBlock.Order)
    /// The device was reset; the number is that of the new generation.
    case reset(UInt64)
    /// The client has gone.
    case clientLeft
    /// Another client is there, with its memory.
    case adopt(GuestMemoryAccess)
    /// Somebody says that a file may have another size.
    case measure
    /// The process is about to end.
    case close
  }

  private struct State {
    var events: Deque<Event> = []
    var done: [StorageRequest] = []
  }

  private let state = Monitor(State())
  private let hasEvents = Atomic<Bool>(false)
  private let hasDone = Atomic<Bool>(false)
  let wake = ThreadParker()
  /// Whether some of the client's memory can only be reached by messages, so that its thread must not
  /// wait for the controller.
  let usesMessages = Atomic<Bool>(false)

  /// Leaves an event, instead of those that it makes pointless: a host that changes its mind all the time while
  /// the controller waits for the disk leaves no more than a host that does it once.
  func post(_ event: Event) {
    state.withLock { state in
      if event.supersedesOthers { state.events.removeAll { event.supersedes($0) } }
      state.events.append(event)
    }
    hasEvents.store(true, ordering: .releasing)
    wake.signal()
  }

  /// Whether there are events that were not handled.
  var holdsEvents: Bool { hasEvents.load(ordering: .acquiring) }

  /// The next event, if there is one.
  func nextEvent() -> Event? {
    guard hasEvents.load(ordering: .acquiring) else { return nil }
    return state.withLock { state in
      guard let event = state.events.popFirst() else {
        hasEvents.store(false, ordering: .relaxed)
        return nil
      }
      return event
    }
  }

  func completed(_ request: StorageRequest) {
    state.withLock { $0.done.append(request) }
    hasDone.store(true, ordering: .releasing)
    wake.signal()
  }

  func needsMessages() { usesMessages.store(true, ordering: .sequentiallyConsistent) }

  /// Swaps what is done for an empty array.
  func takeDone(_ list: inout [StorageRequest]) {
    guard hasDone.load(ordering: .acquiring) else { return }
    state.withLock { state in
      hasDone.store(false, ordering: .relaxed)
      swap(&state.done, &list)
    }
  }
}

extension Mailbox.Event {
  /// Whether there are events that it may make pointless.
  fileprivate var supersedesOthers: Bool {
    switch self {
    case .order(.disable), .order(.shutDown), .reset: true
    default: false
    }
  }

  /// Whether an earlier event that nobody has handled need not be handled any more.
  fileprivate func supersedes(_ earlier: Self) -> Bool {
    switch (self, earlier) {
    case (.order(.disable), .order(.enable)), (.order(.disable), .order(.disable)),
      (.order(.shutDown), .order(.shutDown)), (.reset, .order(.enable)),
      (.reset, .order(.disable)), (.reset, .order(.resetSubsystem)), (.reset, .reset):
      true
    default: false
    }
  }
}
