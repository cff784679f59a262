internal import LinuxPrimitives
internal import DequeModule
internal import NVMeProtocol
internal import Synchronization

/// What other threads leave for the controller's thread: orders of the host, requests that are done.
final class Mailbox: StorageReceiver {
  /// What happened; handled in the order of arrival.
  enum Event {
    /// A register was written.
    case order(RegisterBlock.Order)
    /// The device was reset; the number is that of the new generation.
    case reset(UInt64)
    /// The client has gone.
    case clientLeft
    /// A client continues with the controller, with its memory: another one, or the one that has set the bus master
    /// bit again.
    case adopt(GuestMemoryAccess)
    /// A file may have another size.
    case measure
    /// Rate limits were changed.
    case limits
    /// Commands are to be finished and none begun; the closure hears when that is so.
    case suspend(@Sendable () -> Void)
    /// The controller goes on, with the memory of the client that is there.
    case resume(GuestMemoryAccess)
    /// The device is closed.
    case close
  }

  private struct State {
    var events: Deque<Event> = []
    var done: [StorageRequest] = []
  }

  private let state = Monitor(State())
  private let hasEvents = Atomic<Bool>(false)
  private let hasDone = Atomic<Bool>(false)
  /// Where the controller's thread sleeps.
  let wake: ThreadParker
  /// Whether the suspension that the controller's thread works on is not wanted any more.
  private let cancelsSuspension = Atomic<Bool>(false)
  /// Whether some of the client's memory can only be reached by messages, so that the connection's thread must not
  /// wait for the controller.
  let usesMessages = Atomic<Bool>(false)

  /// - Parameter bell: for a thread that waits for descriptors as well.
  init(bell: EventFD? = nil) { wake = ThreadParker(bell: bell) }

  /// Adds an event, and removes those that it supersedes: the queue stays short even if a host enables and disables
  /// the controller again and again while that waits for the disk.
  func post(_ event: Event) {
    state.withLock { state in
      if event.supersedesOthers { state.events.removeAll { event.supersedes($0) } }
      state.events.append(event)
    }
    hasEvents.store(true, ordering: .releasing)
    wake.signal()
  }

  /// Ends a suspension, whether it is complete or not.
  func resume(with memory: GuestMemoryAccess) {
    cancelsSuspension.store(true, ordering: .releasing)
    post(.resume(memory))
  }

  /// Whether a suspension was ended since the last call.
  func takeCancellation() -> Bool { cancelsSuspension.exchange(false, ordering: .acquiring) }

  /// Whether there are events that were not handled.
  var holdsEvents: Bool { hasEvents.load(ordering: .acquiring) }

  /// Whether there is anything that the controller's thread has not seen.
  var hasNews: Bool {
    hasEvents.load(ordering: .relaxed) || hasDone.load(ordering: .relaxed)
  }

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
  /// Whether it may supersede other events.
  fileprivate var supersedesOthers: Bool {
    switch self {
    case .order(.disable), .order(.shutDown), .reset, .adopt, .limits: true
    default: false
    }
  }

  /// Whether an earlier event need not be handled any more.
  fileprivate func supersedes(_ earlier: Self) -> Bool {
    switch (self, earlier) {
    case (.order(.disable), .order(.enable)), (.order(.disable), .order(.disable)),
      (.order(.shutDown), .order(.shutDown)), (.reset, .order(.enable)),
      (.reset, .order(.disable)), (.reset, .order(.resetSubsystem)), (.reset, .reset),
      (.adopt, .adopt), (.limits, .limits):
      true
    default: false
    }
  }
}
