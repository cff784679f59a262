/// Tasks that wait for the end of a reconnection.
struct WaitingTasks {
  typealias Ticket = UInt64

  private var continuations: [Ticket: CheckedContinuation<Void, Never>] = [:]
  /// The tickets of tasks whose wait was not ended by a timeout or a cancellation.
  private var tickets: Set<Ticket> = []
  private var lastTicket: Ticket = 0

  /// Number of tasks that wait, or are about to.
  var count: Int { max(tickets.count, continuations.count) }

  /// A task is about to wait.
  mutating func arrive() -> Ticket {
    lastTicket += 1
    tickets.insert(lastTicket)
    return lastTicket
  }

  /// A task waits.
  ///
  /// - Returns: false if its wait was already ended.
  mutating func wait(_ ticket: Ticket, _ continuation: CheckedContinuation<Void, Never>) -> Bool {
    guard tickets.contains(ticket) else { return false }
    continuations[ticket] = continuation
    return true
  }

  /// Cancels a wait.
  ///
  /// Idempotent, so a late time-out is harmless.
  ///
  /// - Returns: the continuation to resume, if the task waits.
  mutating func leave(_ ticket: Ticket) -> CheckedContinuation<Void, Never>? {
    tickets.remove(ticket)
    return continuations.removeValue(forKey: ticket)
  }

  /// Resumes all of them on a thread of the runtime; see ``AsyncCall/resumeLater(_:)``.
  mutating func resumeAll() {
    let all = Array(continuations.values)
    continuations.removeAll()
    guard !all.isEmpty else { return }
    Task.detached { for continuation in all { continuation.resume() } }
  }
}
