/// Tasks that wait until it is known whether there is another connection.
struct WaitingTasks {
  typealias Ticket = UInt64

  private var continuations: [Ticket: CheckedContinuation<Void, Never>] = [:]
  /// Of those that have come and not gone: neither is their time up, nor were they cancelled.
  private var tickets: Set<Ticket> = []
  private var lastTicket: Ticket = 0

  /// How many wait, or are about to.
  var count: Int { max(tickets.count, continuations.count) }

  /// A task is about to wait.
  mutating func arrive() -> Ticket {
    lastTicket += 1
    tickets.insert(lastTicket)
    return lastTicket
  }

  /// A task waits.
  ///
  /// - Returns: false when it was cancelled, or its time has come, before that.
  mutating func wait(_ ticket: Ticket, _ continuation: CheckedContinuation<Void, Never>) -> Bool {
    guard tickets.contains(ticket) else { return false }
    continuations[ticket] = continuation
    return true
  }

  /// Cancels a wait.
  ///
  /// Idempotent, so a late time-out is harmless.
  ///
  /// - Returns: what to resume then.
  mutating func leave(_ ticket: Ticket) -> CheckedContinuation<Void, Never>? {
    tickets.remove(ticket)
    return continuations.removeValue(forKey: ticket)
  }

  /// Ends the wait of all of them, on a thread of the runtime: see ``AsyncCall/resumeLater(_:)``.
  mutating func resumeAll() {
    let all = Array(continuations.values)
    continuations.removeAll()
    guard !all.isEmpty else { return }
    Task.detached { for continuation in all { continuation.resume() } }
  }
}
