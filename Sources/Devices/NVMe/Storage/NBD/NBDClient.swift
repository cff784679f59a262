internal import DequeModule
internal import LinuxPrimitives
internal import Logging
internal import SystemPackage

/// What carries out the requests of one export: its connections, the tasks that wait, and what to do when the server is
/// lost.
///
/// Belongs to the controller's thread; only ``arrivals`` is touched by others.
final class NBDClient {
  let export: NBDExport
  let logger: Logger
  /// Connections that are ready, at least one unless the server is lost.
  var connections: [NBDConnection] = []
  /// Tasks that no connection has, in their order.
  var waiting: Deque<NBDTask> = []
  var journal: NBDJournal
  var buffers = NBDBuffers()
  /// The time without a connection; nil while there is one.
  var outage: NBDOutage?
  /// Writing again what the server may have lost; nothing else is begun meanwhile.
  var replay: NBDReplay?
  /// What libnbd has of that.
  var replayTasks: [NBDTask] = []
  /// How far the connections have come that are to be made anew; nothing else is begun meanwhile.
  var renewal: NBDRenewal?
  /// Connections that were given up with commands that the server may still carry out; nothing is begun while there are
  /// any.
  var drains: [NBDDrain] = []
  /// Whether the log has said that those take long.
  var saidDraining = false
  let arrivals: NBDArrivals
  let resized: @Sendable () -> Void
  /// When the first of the connections was made.
  var connectedAt: UInt64 = 0
  /// Whether the server has answered a command since.
  var hasServed = false
  /// Whether a command has failed for lack of an answer, and whether the log has said so.
  var hasTimeouts = false
  var saidTimeout = false
  /// How many times in a row it took a connection and answered nothing.
  var failuresBefore = 0
  /// When another connection is tried for, beside those that there are.
  var nextExtra: UInt64 = 0
  /// Nanoseconds; shorter at the end.
  var timeout: UInt64
  /// When time-outs are looked at next, while there are tasks.
  private var nextLook: UInt64 = 0
  var now: UInt64 = 0
  /// Bytes that the connections have been asked for, and commands.
  private(set) var bytesInFlight: UInt64 = 0
  private(set) var inFlight = 0
  /// Whether commands were begun since the last were sent.
  private var hasUnsent = false
  /// Whether a connection has ended, which is to be seen to.
  var isBroken = false
  /// A flush of our own, and whether it is under way.
  let relief = NBDTask()
  var isRelieving = false

  /// Most bytes on their way; each may take memory of ours.
  private static let mostBytes: UInt64 = 64 << 20
  /// How often time-outs are looked at; nanoseconds.
  static let look: UInt64 = 100_000_000

  /// - Parameters:
  ///   - wake: has the controller's thread look at ``arrivals``.
  ///   - resized: hears that the export has another size.
  init(
    _ export: NBDExport, _ logger: Logger, wake: @escaping @Sendable () -> Void,
    resized: @escaping @Sendable () -> Void
  ) {
    self.export = export
    self.logger = logger
    self.resized = resized
    journal = NBDJournal(limit: export.isReadOnly ? 0 : export.settings.replay)
    timeout = Deadline.nanoseconds(export.settings.timeout)
    arrivals = NBDArrivals(wake)
    if let first = export.takeFirst() { arrivals.put(.success(first)) }
    guard !export.isReadOnly, !export.facts.canFlush else { return }
    logger.notice(
      "the NBD server knows no flush: what is written is as durable as the server makes it, and flushes promise no more",
      metadata: ["export": "\(export.name)"])
  }

  // MARK: Tasks

  /// Takes a request over.
  func submit(_ task: NBDTask, at now: UInt64) {
    self.now = now
    waiting.append(task)
  }

  /// Gives up a task that no connection has, and that has not been begun.
  func cancel(_ task: NBDTask) -> Bool {
    guard task.done == 0, task.step == .work,
      let place = waiting.firstIndex(where: { $0 === task })
    else { return false }
    waiting.remove(at: place)
    discard(task)
    return true
  }

  /// Begins what can be begun, and sends all of it together.
  func issue() {
    if !waiting.isEmpty { beginWaiting() }
    guard hasUnsent else { return }
    hasUnsent = false
    // What a socket does not take now follows when it can.
    for connection in connections {
      connection.transport.send()
      if connection.isOver { isBroken = true }
    }
  }

  private func beginWaiting() {
    guard replay == nil, drains.isEmpty, renewal == nil else { return }
    while let task = waiting.first, let connection = suitable() {
      let count = task.request?.count ?? 0
      guard bytesInFlight == 0 || bytesInFlight + min(count, 1 << 20) <= Self.mostBytes else {
        return
      }
      if task.request?.operation.changesBlocks == true, !makesRoom(for: count, on: connection) {
        return
      }
      waiting.removeFirst()
      begin(task, on: connection)
    }
  }

  /// The first connection that has little to do, else the one with the fewest commands.
  ///
  /// Small commands stay together: spread over connections each costs a system call of its own here and in the server, together
  /// several share one.
  private func suitable() -> NBDConnection? {
    var best: NBDConnection?
    for one in connections where one.hasRoom && !one.isOver {
      if one.hasLittle { return one }
      if best.map({ one.count < $0.count }) ?? true { best = one }
    }
    return best
  }

  /// A task continues when it is its turn again.
  func requeue(_ task: NBDTask) {
    task.since = now
    waiting.append(task)
  }

  /// A request has come to its end.
  func complete(_ task: NBDTask, _ outcome: StorageRequest.Outcome) {
    discard(task)?.complete(outcome)
  }

  /// Lets go of what a task holds.
  ///
  /// - Returns: its request.
  @discardableResult
  private func discard(_ task: NBDTask) -> StorageRequest? {
    task.release()
    if let buffer = task.buffer.take() { buffers.give(buffer) }
    return task.takeRequest()
  }

  func noteBegun(_ task: NBDTask) {
    bytesInFlight += min(task.asked, 1 << 20)
    inFlight += 1
    hasUnsent = true
  }

  func noteEnded(_ task: NBDTask) {
    bytesInFlight -= min(task.asked, 1 << 20)
    inFlight -= 1
  }

  /// The changes since the last flush count as flushed.
  func forgetChanges() { journal.forget { buffers.give($0) } }

  /// The changes since the last flush are perhaps lost: the next flush says so.
  func giveUpChanges(_ failure: Errno = .ioError) {
    export.deferFlushError(failure)
    forgetChanges()
  }

  /// The server has flushed what was changed before a task began.
  func noteFlush(_ task: NBDTask) { journal.flush(through: task.mark) { buffers.give($0) } }

  /// Begins with a flush that no request asks for.
  ///
  /// - Parameter task: one that is free.
  /// - Returns: whether it was begun.
  func beginFlush(_ task: NBDTask, as role: NBDTask.Role, on connection: NBDConnection) -> Bool {
    task.begin(nil, as: role, at: now)
    task.mark = journal.last
    guard unsafe connection.begin(.flush, count: 0, offset: 0, for: task) else { return false }
    noteBegun(task)
    return true
  }

  // MARK: Turns

  /// Whether any connection has tasks.
  var isBusy: Bool { inFlight > 0 }

  /// Takes what has come from the server; ``proceed()`` follows.
  ///
  /// - Returns: whether there was anything.
  func receive(at now: UInt64) -> Bool {
    self.now = now
    var found = false
    for connection in connections where connection.events != 0 {
      if connection.move() { found = true }
      connection.takeEnded { end($0, on: connection) }
      if connection.isOver { isBroken = true }
    }
    if isBroken { endLostConnections() }
    if serveDrains() { found = true }
    return found
  }

  /// Does what else there is to do.
  ///
  /// - Returns: whether other threads had left anything.
  func proceed() -> Bool {
    var found = false
    while let arrival = arrivals.take() {
      adopt(arrival)
      found = true
    }
    if now >= nextLook { lookAtTime() }
    if !export.isHeld { part() }
    renew()
    connect()
    issue()
    export.counters.inFlight = inFlight
    return found
  }

  /// When the next turn is due without an event.
  var deadline: Deadline {
    var first = isBroken ? now : .max
    if isBusy || !waiting.isEmpty { first = min(first, nextLook) }
    if let outage, !arrivals.isExpecting, drains.isEmpty { first = min(first, outage.nextAttempt) }
    if wantsMore { first = min(first, nextExtra) }
    return Deadline(instant: first)
  }

  /// Ends what has waited too long, or is not wanted any more though the server does not answer.
  private func lookAtTime() {
    nextLook = now + Self.look
    for task in waiting where task.request?.isWanted == false {
      waiting.removeAll { $0 === task }
      complete(task, .abandoned)
    }
    while let task = waiting.first(where: { hasTimedOut($0) }) {
      waiting.removeAll { $0 === task }
      complete(task, .storage(.timedOut))
      noteTimeout()
    }
    if connections.contains(where: { $0.contains(where: isOverdue) }) { endAll(0) }
    noteDraining()
  }

  /// Whether a task has waited for as long as a command may, or comes when the server has been away for so long.
  private func hasTimedOut(_ task: NBDTask) -> Bool {
    let start = min(task.since, outage?.since ?? .max)
    return now &- start > timeout && now > start
  }

  /// Whether a connection must not be left with a task any longer.
  private func isOverdue(_ task: NBDTask) -> Bool {
    if now > task.since, now - task.since > timeout { return true }
    guard let request = task.request, !request.isWanted else { return false }
    if task.unwantedSince == 0 { task.unwantedSince = now }
    return now - task.unwantedSince > Self.grace
  }

  /// How long the server may take for what nobody wants any more, in nanoseconds; a reset waits as long.
  private static let grace: UInt64 = 1_000_000_000

  /// Ends all connections.
  func close() {
    part()
    arrivals.close()
  }
}
