internal import CLinux
internal import LinuxPrimitives
internal import Logging
internal import SystemPackage
internal import VFIOUserServer

/// What a process that serves is asked for, beside its devices.
package struct ServingOptions {
  let log: LogOptions
  /// The path of the control socket; nil without one.
  let control: String?
  /// The devices that may come while the process runs; nil in a program that serves one of its own.
  let catalogue: DeviceCatalogue?
  /// What the process may be and have.
  let privileges: ProcessPrivileges
  let sandbox: SandboxOptions

  package init(
    _ log: LogOptions, control: String? = nil, catalogue: DeviceCatalogue? = nil,
    privileges: ProcessPrivileges = .unchanged, sandbox: SandboxOptions = SandboxOptions()
  ) {
    self.log = log
    self.control = control
    self.catalogue = catalogue
    self.privileges = privileges
    self.sandbox = sandbox
  }
}

/// Serves devices until SIGINT or SIGTERM; then removes the sockets that it has created.
///
/// Call it once, from the main thread: it blocks the signals and sets up logging for the process. In a process that
/// takes over from an earlier version of the program, the devices continue with their clients.
package func serve(_ devices: [DeviceToServe], _ options: ServingOptions) throws {
  if try Successor.isSupervisor == true {
    throw CommandError(
      "the program before this one has device processes; this one does not know them")
  }
  let devices = try Successor.devices(devices, options.catalogue)
  if case .trial(let file)? = Successor.task { try Successor.tryOut(devices, file) }
  // A program that takes over is what the one before it was.
  if Successor.task == nil { try options.privileges.apply() }
  SupervisorLink.endWithSupervisor()
  options.log.bootstrap()
  if options.sandbox.sandbox != .off { LogQueue.standardError.hold() }
  clinux_block_program_signals()
  clinux_block_hangup()
  let logger = (devices.count == 1 ? devices[0].log : DeviceLog()).logger("vfio-user.program")
  let start = try Start(devices, options)
  ActivatedSockets.noteUnused()
  let serving = try serve(start, options, logger)
  start.sandbox.report(to: logger)
  start.tookOver?.finish(logger)
  if start.tookOver == nil { try announce(start.devices, options, logger) }
  try serving.waitForEnd()
}

/// Says that the devices are ready: to the supervisor if there is one, else to the user.
private func announce(
  _ devices: [OpenDevice], _ options: ServingOptions, _ logger: Logger
) throws {
  let ready = devices.map { ReadyDevice($0) }
  guard SupervisorLink.isThere else {
    return try Announcement(of: ready, control: options.control).print()
  }
  guard !SupervisorLink.report(ReadyReport(devices: ready)) else { return }
  // It was started again. A terminal is another one by now.
  for one in ready {
    let notice: Logger.Metadata = one.notice.map { ["notice": "\($0)"] } ?? [:]
    logger.notice("the device on \(one.socket) is ready again", metadata: notice)
  }
}

/// What a process begins with.
struct Start {
  let devices: [OpenDevice]
  /// Nil without `--control`.
  let control: KeptListener?
  /// Nil in an ordinary start.
  let tookOver: TakeOver?
  let sandbox: Sandbox

  /// Opens the devices, or takes them over, and confines the process to what they need.
  init(_ devices: [DeviceToServe], _ options: ServingOptions) throws {
    let tookOver = Successor.task == nil ? nil : try TakeOver()
    self.tookOver = tookOver
    let control = try options.control.map {
      try KeptListener(FilePath($0), keptAs: "control socket")
    }
    self.control = control
    do {
      var sandbox: Sandbox?
      self.devices = try openAll(devices, tookOver) {
        sandbox = try Sandbox(options, $0, tookOver)
        LogQueue.standardError.release()
      }
      guard let sandbox else { throw CommandError("the process is not confined") }
      self.sandbox = sandbox
    } catch {
      control?.socket.remove()
      throw error
    }
  }
}

/// Serves open devices; in a program that takes over, a failure leads back to the one before it.
private func serve(
  _ start: Start, _ options: ServingOptions, _ logger: Logger
) throws -> ServingProcess {
  do {
    return try ServingProcess(start, options, logger)
  } catch {
    Successor.fallBack(error)
    start.control?.socket.remove()
    start.devices.forEach { $0.running.close() }
    throw error
  }
}
