internal import CLinux
internal import LinuxPrimitives
internal import Logging

/// Adds the place of a plan to what its process has said.
package typealias PlanExplanation = @Sendable (ProcessPlan, _ message: String) -> CommandError

/// Serves devices in processes of their own until SIGINT or SIGTERM.
///
/// Call it once, from the main thread, instead of ``serve(_:_:)``.
///
/// - Parameters:
///   - plans: the processes.
///   - areStrangers: whether every process becomes another user, so that this one needs no other privilege.
package func supervise(
  _ plans: [ProcessPlan], areStrangers: Bool, _ options: ServingOptions,
  explain: @escaping PlanExplanation
) throws {
  guard let catalogue = options.catalogue else { throw CommandError("there is no catalogue") }
  if case .trial(let file)? = Successor.task { try Successor.tryOut([], file) }
  // Before there are other threads, which would keep their own.
  if areStrangers { confine() }
  options.log.bootstrap()
  clinux_block_supervisor_signals()
  let logger = DeviceLog().logger("vfio-user.supervisor")
  let tookOver = Successor.task == nil ? nil : try TakeOver()
  do {
    let supervisor = try Supervisor(options, catalogue, tookOver, logger)
    if let tookOver {
      // From here on nothing fails.
      tookOver.commit()
      clinux_keep_signal_mask()
      // Not before: a crash on a thread of a caller would execute the program before this one on that thread.
      supervisor.startControlAgain()
      tookOver.finish(logger)
    } else {
      clinux_keep_signal_mask()
      try DetachedThread.start("start") { supervisor.beginAll(plans, explain) }
    }
    try supervisor.run()
  } catch {
    Successor.fallBack(error)
    throw error
  }
}

/// Gives up what starting processes as other users does not take; only root has something to give up.
private func confine() {
  guard clinux_present_user().user == 0 else { return }
  let result = clinux_keep_supervisor_capabilities()
  if result < 0 { note("the supervisor keeps its privileges: \(Errno(rawValue: -result))") }
}

extension Supervisor {
  /// Answers again; the devices are served also without that.
  fileprivate func startControlAgain() {
    do { try startControl() } catch {
      logger.error("nobody answers on the control sockets", metadata: ["reason": "\(error)"])
    }
  }

  /// Starts the processes of the configuration file, or none; then answers on the control sockets.
  fileprivate func beginAll(_ plans: [ProcessPlan], _ explain: PlanExplanation) {
    do {
      // An upgrade waits for it.
      let ready = try changing { try begin(plans, explain: explain) }
      try startControl()
      try Announcement(of: ready, control: options.control).print()
    } catch {
      fail(error as? CommandError ?? CommandError("\(error)"))
    }
  }
}
