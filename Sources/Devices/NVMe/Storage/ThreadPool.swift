internal import DequeModule
internal import SystemPackage
public import VFIOUserTransport

/// The engine that is always there: some threads that wait in `preadv` and `pwritev`.
///
/// Each thread sleeps on a word of its own, so that a request wakes one of them and not all.
public final class ThreadPool: StorageEngine {
  private struct State {
    /// Requests that wait for a thread.
    var waiting: Deque<StorageRequest> = []
    /// Threads that sleep.
    var idle: [Int] = []
    var isClosing = false
    var running = 0
  }

  private let state = Monitor(State())
  private let words: [WakeUp]

  /// Starts threads.
  ///
  /// - Throws: when there are not so many to be had.
  public init(threads: Int) throws(SystemFailure) {
    words = (0..<threads).map { _ in WakeUp() }
    for index in 0..<threads {
      try DetachedThread.start("nvme-io") { [state, words] in
        Self.run(index, state, words[index])
      }
      state.withLock { $0.running += 1 }
    }
  }

  deinit { close() }

  /// Hands a request to a thread that sleeps, or leaves it for the next that is done.
  public func submit(_ request: StorageRequest) {
    let sleeper = state.withLock { state in
      state.waiting.append(request)
      return state.idle.popLast()
    }
    if let sleeper { words[sleeper].signal() }
  }

  /// Nothing is kept back.
  public func flush() {}

  /// Takes a request back that no thread has begun with.
  public func cancel(_ request: StorageRequest) -> Bool {
    state.withLock { state in
      guard let place = state.waiting.firstIndex(where: { $0 === request }) else { return false }
      state.waiting.remove(at: place)
      return true
    }
  }

  /// Ends the threads when nothing waits any more.
  public func close() {
    state.update { $0.isClosing = true }
    for word in words { word.signal() }
  }

  private static func run(_ index: Int, _ state: Monitor<State>, _ word: WakeUp) {
    var spare: PageBuffer?
    while true {
      let (request, isClosing) = state.withLock { state in
        let request = state.waiting.popFirst()
        if request == nil, !state.isClosing, !state.idle.contains(index) {
          state.idle.append(index)
        }
        return (request, state.isClosing)
      }
      if let request {
        request.complete(PlainCalls.perform(request, &spare))
      } else if isClosing {
        break
      } else {
        word.wait()
      }
    }
    state.update { $0.running -= 1 }
  }
}
