internal import LinuxPrimitives
internal import Logging

// A new version: each device process replaces its own program, one after the other, and the supervisor its own in the end,
// with the same process ID and the same children.

extension Supervisor {
  /// More than a process needs for trial, halt and the way back.
  private static let upgradePatience: Duration = .seconds(45)

  /// The request of SIGUSR2; the result is in the log.
  func upgradeOnSignal() {
    do {
      try DetachedThread.start("upgrade") { [self] in try? upgrade(to: nil, nil) }
    } catch {
      logger.error("the program is not replaced", metadata: ["reason": "\(error)"])
    }
  }

  /// Replaces all programs; the caller is answered by the next one.
  ///
  /// - Throws: why one of them goes on as it was; those before it have been replaced.
  func upgrade(to program: String?, _ caller: UpgradeCaller?) throws {
    do {
      try changing {
        let pause = try upgradeProcesses(to: program)
        try onMainThread { [self] in
          let (processes, strangers) = state.withLock { ($0.processes, $0.strangers) }
          let upgrade = Upgrade(
            servers: [], control: control, changes: DeviceChanges(), processes: processes,
            strangers: strangers, pause: pause)
          try upgrade.run(program, caller: caller)
        }
      }
    } catch {
      logger.error("the program is not replaced, and goes on", metadata: ["reason": "\(error)"])
      throw error
    }
  }

  /// - Returns: the longest pause of a device; nil without any.
  private func upgradeProcesses(to program: String?) throws -> UpgradePause? {
    var pauses: [UpgradePause] = []
    let processes = state.withLock { $0.processes }
    // One that is about to start again starts the new program.
    for one in processes where one.process > 0 {
      do {
        let client = try ControlClient(process: one.process)
        pauses.append(try client.upgrade(to: program, for: Self.upgradePatience).pause)
      } catch {
        throw CommandError(
          "\(one.plan.name): \(error) (\(pauses.count) of \(processes.count) processes were replaced before it)"
        )
      }
    }
    return pauses.max { $0.total < $1.total }
  }
}
