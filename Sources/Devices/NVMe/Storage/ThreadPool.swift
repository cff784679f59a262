internal import LinuxPrimitives
internal import DequeModule
internal import SystemPackage

/// The engine that is always there: some threads that wait in `preadv` and `pwritev`.
///
/// Each thread sleeps on a word of its own, so that a request wakes one of them and not all. Flushes, zeros and holes,
/// which may take seconds, never have all threads: some are left to reads and writes.
final class ThreadPool: StorageEngine {
  private struct State {
    /// Requests that wait for a thread: reads and writes, and those that may take long.
    var quick: Deque<StorageRequest> = []
    var long: Deque<StorageRequest> = []
    /// Threads that sleep.
    var idle: [Int] = []
    /// Threads that carry out what may take long.
    var busyLong = 0
    let maxLong: Int
    var isClosing = false

    init(threads: Int) { maxLong = max(1, threads / 2) }

    mutating func take() -> StorageRequest? {
      if busyLong < maxLong, let request = long.popFirst() {
        busyLong += 1
        return request
      }
      return quick.popFirst()
    }
  }

  private let state: Monitor<State>
  private let words: [ThreadParker]

  /// Starts threads.
  ///
  /// - Parameter threads: at least 1; of one alone, two are made.
  /// - Throws: when there are not so many to be had.
  init(threads: Int) throws(SystemCallError) {
    let threads = max(2, threads)
    words = (0..<threads).map { _ in ThreadParker() }
    state = Monitor(State(threads: threads))
    for index in 0..<threads {
      try DetachedThread.start("nvme-io") { [state, words] in
        Self.run(index, state, words[index])
      }
    }
  }

  deinit { close() }

  /// Hands a request to a thread that sleeps, or leaves it for the next that is done.
  func submit(_ request: StorageRequest) {
    let sleeper = state.withLock { state -> Int? in
      guard request.operation.mayTakeLong else {
        state.quick.append(request)
        return state.idle.popLast()
      }
      state.long.append(request)
      return state.busyLong < state.maxLong ? state.idle.popLast() : nil
    }
    if let sleeper { words[sleeper].signal() }
  }

  /// Nothing is kept back.
  func flush() {}

  /// Takes a request back that no thread has begun with.
  func cancel(_ request: StorageRequest) -> Bool {
    state.withLock { state in
      Self.remove(request, from: &state.quick) || Self.remove(request, from: &state.long)
    }
  }

  private static func remove(
    _ request: StorageRequest, from waiting: inout Deque<StorageRequest>
  ) -> Bool {
    guard let place = waiting.firstIndex(where: { $0 === request }) else { return false }
    waiting.remove(at: place)
    return true
  }

  /// Ends the threads when nothing waits any more.
  func close() {
    state.update { $0.isClosing = true }
    for word in words { word.signal() }
  }

  private static func run(_ index: Int, _ state: Monitor<State>, _ word: ThreadParker) {
    var spare: PageBuffer?
    while true {
      let (request, isClosing) = state.withLock { state in
        let request = state.take()
        if request == nil, !state.isClosing, !state.idle.contains(index) {
          state.idle.append(index)
        }
        return (request, state.isClosing)
      }
      if let request {
        // Once it is complete it is the controller's, which may make another of it.
        let isLong = request.operation.mayTakeLong
        request.complete(BlockingIO.perform(request, &spare))
        if isLong { state.withLock { $0.busyLong -= 1 } }
      } else if isClosing {
        // What may still wait is done by the threads that carry out the likes of it.
        return
      } else {
        word.wait()
      }
    }
  }
}

extension StorageRequest.Operation {
  /// Whether it may take a thread much longer than a read or a write.
  fileprivate var mayTakeLong: Bool {
    switch self {
    case .flush, .zero, .deallocate: true
    case .read, .write: false
    }
  }
}
