internal import CLinux
internal import LinuxPrimitives
internal import Logging
internal import VFIOUserServer

/// A process that serves: its threads, and how it ends.
final class ServingProcess: Sendable {
  /// Why the process ends.
  private enum Ending {
    case asked
    case failed(CommandError)
  }

  /// The next upgrade, or the one that is under way.
  private struct UpgradeRequest {
    var isUnderWay = false
    var program: String?
    /// The program, opened by the caller.
    var opened: OwnedFile?
    var caller: UpgradeCaller?
  }

  let devices: ServedDevices
  let logger: Logger
  /// When the present program began to serve.
  let began = Deadline.now
  private let control: ControlSocket?
  /// The control socket with a path.
  private let named: KeptListener?
  let sandbox: Sandbox
  private let ending: Monitor<Ending?>
  private let request = Monitor(UpgradeRequest())
  /// Whether the devices are served, so that the program can be replaced (again).
  private let isServing = Monitor(false)

  init(_ start: Start, _ options: ServingOptions, _ logger: Logger) throws {
    let ending = Monitor<Ending?>(nil)
    self.ending = ending
    devices = ServedDevices(
      start.devices, options.catalogue, changes: start.tookOver?.changes ?? DeviceChanges(),
      sandbox: start.sandbox.state
    ) { name, failure in
      ending.update { $0 = $0 ?? .failed(noMoreClients(name, failure)) }
    }
    self.logger = logger
    control = start.tookOver?.control ?? (start.tookOver == nil ? ControlSocket.open(logger) : nil)
    named = start.control
    sandbox = start.sandbox
    try startThreads(holder: start.tookOver?.holder ?? 0)
    // All threads are there, and no client is served yet.
    try sandbox.close()
    // Before a guest could ask the broker to discard what was made for it.
    sandbox.settle()
    try devices.start()
    try start.tookOver?.startSessions()
    // From here on nothing fails.
    start.tookOver?.commit()
    start.tookOver?.proceed()
    clinux_keep_signal_mask()
    isServing.update { $0 = true }
  }

  private func startThreads(holder: Int32) throws {
    try onHangup { [devices] in devices.all.forEach { $0.running.hangup?() } }
    try DetachedThread.start("signals") { [self] in waitForSignals() }
    if holder > 0 { try DetachedThread.start("holder") { clinux_await_holder(holder) } }
    let service = ControlService(methods: methods) { ClientProcesses.ofThisProcess.contains($0) }
    try control?.start(service)
    if let named {
      try ControlSocket(named.socket.descriptor.duplicate()).start(service)
    }
  }

  /// Upgrades and ends the process: one thread for both, so that a signal to end which arrives while the program is
  /// replaced waits for the new one.
  private func waitForSignals() {
    waitUntilServing()
    while clinux_wait_for_program_signal() == 1 { upgrade() }
    ending.update { $0 = $0 ?? .asked }
  }

  func waitUntilServing() { _ = isServing.withLock(when: { $0 }) { _ in } }

  private func upgrade() {
    let asked = request.withLock { request in
      request.isUnderWay = true
      return request
    }
    defer { request.update { $0 = UpgradeRequest() } }
    logger.notice(
      "the program is to be replaced", metadata: ["by": "\(asked.program ?? "its file")"])
    do {
      try devices.changing {
        let upgrade = Upgrade(
          servers: devices.servers, control: control, changes: devices.changes,
          sandbox: sandbox.state)
        try upgrade.run(asked.program, opened: asked.opened, caller: asked.caller)
      }
    } catch {
      logger.error("the program is not replaced, and goes on", metadata: ["reason": "\(error)"])
      asked.caller?.send(ControlFailure("\(error)"))
    }
  }

  /// Has the program replaced; the caller gets its answer later.
  ///
  /// - Throws: ``ControlFailure`` if another upgrade is under way.
  func demandUpgrade(_ program: String?, _ opened: OwnedFile?, _ caller: UpgradeCaller) throws {
    let isAccepted = request.withLock { present in
      guard !present.isUnderWay, present.caller == nil else { return false }
      (present.program, present.opened, present.caller) = (program, opened, caller)
      return true
    }
    guard isAccepted else { throw ControlFailure("another upgrade is under way") }
    clinux_demand_upgrade()
  }

  /// Waits until the process is asked to end or cannot go on, and stops the servers.
  func waitForEnd() throws {
    let reason = ending.withLock(when: { $0 != nil }) { $0 } ?? nil
    named?.socket.remove()
    devices.stop()
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
