internal import CLinux
internal import FoundationEssentials
internal import Glibc
internal import LinuxPrimitives
internal import Logging

// The children of the supervisor: its device processes, and what these leave behind. Called on the main thread alone, so that
// a child has its place before its end is noted.

extension Supervisor {
  /// Notes which processes have ended, and ends what they have left.
  func reap() {
    while case let child = clinux_ended_child(), child > 0 {
      // First of all: nobody signals it any more when its number is free.
      let noted = noteEnd { $0.process == child }
      var status: Int32 = 0
      // Sound: the number is lent for the call.
      guard unsafe clinux_child_ended(child, &status) == 1 else { return }
      state.update { _ = $0.strangers.remove(child) }
      if let (one, wait) = noted { report(one, ProcessEnd(status: status), wait) }
    }
    killOrphans()
  }

  /// - Returns: the process as it was, and how long it takes until it is started again; nil if it is not.
  private func noteEnd(of isIt: (DeviceProcess) -> Bool) -> (DeviceProcess, Duration)? {
    state.update { state in
      guard let place = state.processes.firstIndex(where: isIt) else { return nil }
      let one = state.processes[place]
      guard one.isReady, !state.isEnding else {
        state.processes[place].process = 0
        return nil
      }
      return (one, state.processes[place].hasEnded())
    }
  }

  private func report(
    _ one: DeviceProcess, _ reason: some CustomStringConvertible, _ wait: Duration
  ) {
    logger.error(
      "a device process is gone, and is started again",
      metadata: [
        "devices": "\(one.plan.name)", "process": "\(one.process)", "reason": "\(reason)",
        "in": "\(wait)",
      ])
  }

  // MARK: Starting

  func startDue() {
    let now = Deadline.now
    for one in state.withLock({ $0.processes }) where one.nextStart.map({ $0 <= now }) ?? false {
      do {
        try start(one.plan, report: -1)
      } catch {
        guard let (one, wait) = noteEnd(of: { $0.plan == one.plan && $0.process == 0 }) else {
          continue
        }
        report(one, "\(error)", wait)
      }
    }
  }

  /// Starts a process.
  ///
  /// - Parameter report: the descriptor for its report; negative for a process that is started again.
  /// - Throws: ``CommandError`` if it cannot be started, or is not wanted any more.
  func start(_ plan: ProcessPlan, report: Int32) throws {
    let level = plan.isAlone ? ["--log-level=\(LogLevel.current.rawValue)"] : []
    let arguments = ([Program.name] + plan.arguments + level).joined(separator: "\0") + "\0"
    let link = report < 0 ? "\(getpid())" : "\(getpid()):\(report)"
    // Sound: the strings are lent for the calls.
    var process = unsafe clinux_start_child(program, arguments, link, report)
    // The file may have gone, or be one that this process may not execute.
    if process < 0 {
      process = unsafe clinux_start_child("/proc/self/exe", arguments, link, report)
    }
    guard process > 0 else {
      throw CommandError(
        "no process can be started for \(plan.name): \(Errno(rawValue: -process))")
    }
    let isWanted = state.update { state in
      let place = state.processes.firstIndex {
        $0.plan == plan && $0.process == 0 && (report >= 0 || $0.nextStart != nil)
      }
      guard let place else { return false }
      state.processes[place].hasStarted(process)
      return true
    }
    // Another thread has removed the device meanwhile.
    guard isWanted else {
      kill(process, SIGKILL)
      throw CommandError("the device on \(plan.name) was removed")
    }
  }

  // MARK: What processes leave

  /// Children that are no device processes: at the start of the supervisor those of the program before it in this process,
  /// a shell for example.
  static func children(except processes: [DeviceProcess]) -> Set<Int32> {
    // No privilege is needed for one's own. Without this file (CONFIG_PROC_CHILDREN) nothing is found.
    let text = (try? kernelText("/proc/self/task/\(getpid())/children")) ?? ""
    return Set(text.split(separator: " ").compactMap { Int32($0) })
      .subtracting(processes.map(\.process))
  }

  /// Ends processes whose parents were device processes: whoever has broken into one may have left them.
  ///
  /// While a device process lives, its broker is its child and none of this process. The memory holder of an upgrade may be
  /// among them: it is to end, and whoever waits for it still does.
  private func killOrphans() {
    let (processes, strangers) = state.withLock { ($0.processes, $0.strangers) }
    for child in Self.children(except: processes).subtracting(strangers) { kill(child, SIGKILL) }
  }
}
