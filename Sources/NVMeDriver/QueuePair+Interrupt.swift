internal import LinuxPrimitives
internal import Glibc

/// What was counted of the completions of a queue.
struct CompletionTally {
  /// Completions for commands that were not in flight.
  var strays = 0
  /// Completions for whose interrupt the driver has waited.
  var awaited: UInt64 = 0
  /// Those of them that were there without an interrupt.
  var withoutInterrupt: UInt64 = 0
}

extension QueuePair {
  /// How a wait for the interrupt has ended.
  enum Pause {
    case interrupted, timedOut, polled
  }

  /// How long an interrupt may come behind its completion, on a busy machine too.
  private static let grace: Duration = .milliseconds(50)

  /// Number of completions for commands that were not in flight.
  public var strays: Int { tally.strays }
  /// Number of completions for whose interrupt the driver has waited.
  package var awaited: UInt64 { tally.awaited }
  /// Number of completions among ``awaited`` that were found although no interrupt had come.
  package var withoutInterrupt: UInt64 { tally.withoutInterrupt }

  /// Waits for the interrupt for at most a second; yields if the queue is polled.
  func pause(until deadline: Deadline) -> Pause {
    guard let interrupt else {
      sched_yield()
      return .polled
    }
    let limit = Duration.nanoseconds(min(max(0, deadline.remaining), 1_000_000_000))
    return interrupt.wait(for: limit) == nil ? .timedOut : .interrupted
  }

  /// Counts completions that were found after a pause.
  ///
  /// One that came just when the pause ended has its interrupt a moment later.
  func note(_ count: Int, after pause: Pause) {
    guard let interrupt, pause != .polled else { return }
    tally.awaited += UInt64(count)
    guard pause == .timedOut, interrupt.wait(for: Self.grace) == nil else { return }
    tally.withoutInterrupt += UInt64(count)
  }
}
