internal import CLinux
internal import LinuxPrimitives
internal import Logging
internal import VFIOUserServer

/// Why the process ends.
private enum Ending {
  case asked
  case failed(CommandError)
}

/// Serves devices until SIGINT or SIGTERM; then removes the sockets that it has created.
///
/// Call it once, from the main thread: it blocks the signals and sets up logging for the process. In a process that
/// takes over from an earlier version of the program, the devices continue with their clients.
package func serve(_ devices: [DeviceToServe], _ log: LogOptions) throws {
  if case .trial(let file)? = Successor.task { try Successor.tryOut(devices, file) }
  log.bootstrap()
  clinux_block_program_signals()
  clinux_block_hangup()
  let logger = DeviceLog().logger("vfio-user.program")
  let start = try open(devices)
  defer { start.devices.forEach { $0.running.close() } }
  ActivatedSockets.noteUnused()
  let serving = try serve(start, logger)
  start.tookOver?.finish(logger)
  if start.tookOver == nil { try Announcement(of: start.devices).print() }
  try serving.waitForEnd()
}

/// The devices of the process, and what it has taken over.
private struct Start {
  let devices: [OpenDevice]
  /// Nil in an ordinary start.
  let tookOver: TakeOver?
}

/// Opens the devices, or takes them over.
private func open(_ devices: [DeviceToServe]) throws -> Start {
  let tookOver = Successor.task == nil ? nil : try TakeOver()
  return Start(devices: try openAll(devices, tookOver), tookOver: tookOver)
}

/// Serves open devices; in a program that takes over, a failure leads back to the one before it.
private func serve(_ start: Start, _ logger: Logger) throws -> ServingProcess {
  do {
    return try ServingProcess(start, logger)
  } catch {
    Successor.fallBack(error)
    throw error
  }
}

/// A process that serves: its threads, and how it ends.
private final class ServingProcess: Sendable {
  private let servers: [ServedServer]
  private let hangups: [@Sendable () -> Void]
  private let logger: Logger
  private let control: ControlSocket?
  private let ending = Monitor<Ending?>(nil)
  private let request = Monitor(UpgradeRequest())
  /// Whether the devices are served, so that the program can be replaced (again).
  private let isServing = Monitor(false)

  /// The next upgrade, or the one that is under way.
  private struct UpgradeRequest {
    var isUnderWay = false
    var program: String?
    var caller: ControlConnection?
  }

  init(_ start: Start, _ logger: Logger) throws {
    servers = start.devices.map(\.served)
    hangups = start.devices.compactMap(\.running.hangup)
    self.logger = logger
    control = start.tookOver?.control ?? (start.tookOver == nil ? ControlSocket.open(logger) : nil)
    try startThreads(holder: start.tookOver?.holder ?? 0)
    try startServers()
    try start.tookOver?.startSessions()
    // From here on nothing fails.
    start.tookOver?.commit()
    start.tookOver?.proceed()
    clinux_keep_signal_mask()
    isServing.update { $0 = true }
  }

  private func startServers() throws {
    for one in servers {
      let name = one.name
      try one.server.start(on: one.listener) { [ending] failure in
        ending.update { $0 = $0 ?? .failed(noMoreClients(name, failure)) }
      }
    }
  }

  private func startThreads(holder: Int32) throws {
    if !hangups.isEmpty { try onHangup { [hangups] in hangups.forEach { $0() } } }
    try DetachedThread.start("signals") { [self] in waitForSignals() }
    if holder > 0 { try DetachedThread.start("holder") { clinux_await_holder(holder) } }
    try control?.start { [self] request, caller in answer(request, caller) }
  }

  /// Upgrades and ends the process: one thread for both, so that a signal to end which arrives while the program is
  /// replaced waits for the new one.
  private func waitForSignals() {
    waitUntilServing()
    while clinux_wait_for_program_signal() == 1 { upgrade() }
    ending.update { $0 = $0 ?? .asked }
  }

  private func waitUntilServing() { _ = isServing.withLock(when: { $0 }) { _ in } }

  private func upgrade() {
    let asked = request.withLock { request in
      request.isUnderWay = true
      return request
    }
    defer { request.update { $0 = UpgradeRequest() } }
    logger.notice(
      "the program is to be replaced", metadata: ["by": "\(asked.program ?? "its file")"])
    do {
      let upgrade = Upgrade(servers: servers, control: control)
      try upgrade.run(asked.program, caller: asked.caller?.number ?? -1)
    } catch {
      logger.error("the program is not replaced, and goes on", metadata: ["reason": "\(error)"])
      asked.caller?.send(ControlAnswer.failure("\(error)"))
    }
  }

  private func answer(_ request: ControlRequest, _ caller: ControlConnection) -> ControlAnswer? {
    waitUntilServing()
    switch request.method {
    case "devices": return ControlAnswer(result: .init(devices: servers.compactMap(\.absolutePath)))
    case "upgrade":
      guard !servers.contains(where: { $0.server.clientProcess == caller.peer?.process }) else {
        return .failure("a client of a device may not ask for this")
      }
      let isAccepted = self.request.withLock { present in
        guard !present.isUnderWay, present.caller == nil else { return false }
        (present.program, present.caller) = (request.params?.program, caller)
        return true
      }
      guard isAccepted else { return .failure("another upgrade is under way") }
      clinux_demand_upgrade()
      return nil
    default: return .failure("there is no method '\(request.method)'")
    }
  }

  /// Waits until the process is asked to end or cannot go on, and stops the servers.
  func waitForEnd() throws {
    let reason = ending.withLock(when: { $0 != nil }) { $0 } ?? nil
    servers.forEach { $0.server.stop() }
    servers.forEach { $0.server.waitUntilStopped() }
    if case .failed(let failure)? = reason { throw failure }
  }
}

/// The error if a device's process ends without having been asked to.
private func noMoreClients(_ socket: String, _ failure: SystemCallError) -> CommandError {
  CommandError(
    "\(socket): no more clients are accepted: \(failure). Has somebody shut the socket down?")
}

/// Calls `body` on each SIGHUP, on its own thread; SIGHUP must already be blocked.
private func onHangup(_ body: @escaping @Sendable () -> Void) throws {
  try DetachedThread.start("hangup") {
    while clinux_wait_for_hangup() == 0 { body() }
  }
}
