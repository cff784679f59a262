internal import CLinux
internal import Glibc
internal import LinuxPrimitives
internal import Logging

/// A process that serves nothing itself: each device has a process of its own, which this one starts, and starts again when
/// it dies.
///
/// The main thread starts processes and replaces the program (`run`), and no other thread may: the kernel ends a device
/// process with the *thread* that has started it, and of all threads only the one that executes the next program survives
/// that.
final class Supervisor: Sendable {
  struct State {
    var processes: [DeviceProcess] = []
    /// What other threads want the main thread to do.
    fileprivate var work: [@Sendable () -> Void] = []
    /// Whether a device is being added or removed, or the program replaced.
    fileprivate var isChanging = false
    fileprivate var isEnding = false
    /// Why the process ends by itself.
    fileprivate var failure: CommandError?
  }

  /// How long a change waits for another one.
  private static let patience: Duration = .seconds(10)
  /// How long device processes may take to end when they are asked to.
  static let endPatience: Duration = .seconds(20)

  let state = Monitor(State())
  let options: ServingOptions
  let catalogue: DeviceCatalogue
  let logger: Logger
  /// When the present program began to supervise.
  let began = Deadline.now
  let control: ControlSocket?
  private let named: KeptListener?
  /// The program of device processes.
  private let program = OwnProgram.path.withLock { $0 } ?? "/proc/self/exe"

  init(
    _ options: ServingOptions, _ catalogue: DeviceCatalogue, _ tookOver: TakeOver?, _ logger: Logger
  ) throws {
    self.options = options
    self.catalogue = catalogue
    self.logger = logger
    named = try options.control.map { try KeptListener(FilePath($0), keptAs: "control socket") }
    control = tookOver?.control ?? (tookOver == nil ? ControlSocket.open(logger) : nil)
    if let tookOver { state.update { $0.processes = tookOver.processes } }
    if let holder = tookOver?.holder, holder > 0 {
      try DetachedThread.start("holder") { clinux_await_holder(holder) }
    }
  }

  /// Answers on the control sockets from now on.
  func startControl() throws {
    let service = ControlService(methods: methods) { [self] in isClient($0) }
    try control?.start(service)
    if let named { try ControlSocket(named.socket.descriptor.duplicate()).start(service) }
  }

  // MARK: The main thread

  /// Keeps the processes running until this one is asked to end.
  func run() throws {
    defer { named?.socket.remove() }
    while true {
      switch clinux_wait_for_supervisor_signal(untilNextStart) {
      case SIGINT, SIGTERM: return end()
      case SIGHUP: signalAll(SIGHUP)
      case SIGUSR2: upgradeOnSignal()
      // SIGCHLD, or somebody has work for this thread.
      default: break
      }
      reap()
      startDue()
      for body in state.withLock({ exchange(&$0.work, with: []) }) { body() }
      if let failure = state.withLock({ $0.failure }) {
        end()
        throw failure
      }
    }
  }

  /// Nanoseconds; negative for ever.
  private var untilNextStart: Int64 {
    let next = state.withLock { $0.processes.compactMap(\.nextStart).min() }
    return next.map { Deadline(instant: $0).remaining } ?? -1
  }

  /// Notes which processes have ended.
  private func reap() {
    for one in state.withLock({ $0.processes }) where one.process > 0 {
      var status: Int32 = 0
      // Sound: the number is lent for the call.
      guard unsafe clinux_child_ended(one.process, &status) != 0 else { continue }
      noteEnd(of: one, "\(ProcessEnd(status: status))")
    }
  }

  private func noteEnd(of one: DeviceProcess, _ reason: String) {
    let wait: Duration? = state.update { state in
      guard let place = state.processes.firstIndex(where: { $0.plan == one.plan }) else {
        return nil
      }
      guard one.isReady, !state.isEnding else {
        state.processes[place].process = 0
        return nil
      }
      return state.processes[place].hasEnded()
    }
    guard let wait else { return }
    logger.error(
      "a device process is gone, and is started again",
      metadata: [
        "devices": "\(one.plan.name)", "process": "\(one.process)", "reason": "\(reason)",
        "in": "\(wait)",
      ])
  }

  private func startDue() {
    let now = Deadline.now
    for one in state.withLock({ $0.processes }) where one.nextStart.map({ $0 <= now }) ?? false {
      do {
        _ = try start(one.plan, report: -1)
      } catch {
        noteEnd(of: one, "\(error)")
      }
    }
  }

  /// Starts a process.
  ///
  /// - Parameter report: the descriptor for its report; negative without one.
  private func start(_ plan: ProcessPlan, report: Int32) throws {
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
    state.update { state in
      guard let place = state.processes.firstIndex(where: { $0.plan == plan }) else { return }
      state.processes[place].hasStarted(process)
    }
  }

  /// Asks all processes to end, and ends those that do not.
  private func end() {
    state.update { $0.isEnding = true }
    signalAll(SIGTERM)
    let deadline = Deadline.after(Self.endPatience)
    while isAnyRunning, !deadline.hasPassed {
      _ = clinux_wait_for_supervisor_signal(min(100_000_000, deadline.remaining))
      reap()
    }
    for one in state.withLock({ $0.processes }) where one.process > 0 {
      logger.error(
        "a device process has not ended within \(Self.endPatience), and is killed",
        metadata: ["devices": "\(one.plan.name)", "process": "\(one.process)"])
      clinux_kill_child(one.process)
    }
  }

  private var isAnyRunning: Bool { state.withLock { $0.processes.contains { $0.process > 0 } } }

  private func signalAll(_ signal: Int32) {
    for one in state.withLock({ $0.processes }) where one.process > 0 {
      kill(one.process, signal)
    }
  }
}

// MARK: Other threads

extension Supervisor {
  /// Has the main thread run `body`, and waits for it.
  func onMainThread<Result: Sendable>(
    _ body: @escaping @Sendable () throws -> Result
  ) throws -> Result {
    let outcome = Monitor<Swift.Result<Result, any Error>?>(nil)
    state.update { $0.work.append { outcome.update { $0 = Swift.Result { try body() } } } }
    clinux_wake_supervisor()
    guard let result = outcome.withLock(when: { $0 != nil }, { $0 }) ?? nil else {
      throw CommandError("the process ends")
    }
    return try result.get()
  }

  /// Starts a process on the main thread.
  ///
  /// - Returns: where its report comes from, which becomes the caller's.
  func startReporting(_ plan: ProcessPlan) throws -> Int32 {
    var ends: [Int32] = [-1, -1]
    // Sound: the array has two elements.
    let failure = unsafe clinux_pipe(&ends)
    guard failure == 0 else {
      throw CommandError("no pipe for a device process: \(Errno(rawValue: -failure))")
    }
    let (input, output) = (ends[0], ends[1])
    defer { _ = clinux_close(output) }
    state.update { $0.processes.append(DeviceProcess(plan)) }
    do {
      try onMainThread { [self] in try start(plan, report: output) }
    } catch {
      _ = clinux_close(input)
      throw error
    }
    return input
  }

  /// Ends this process with a failure.
  func fail(_ failure: CommandError) {
    state.update { $0.failure = $0.failure ?? failure }
    clinux_wake_supervisor()
  }

  /// Runs `body`, in which no other change begins.
  ///
  /// - Throws: ``CommandError`` if another change takes too long.
  func changing<Result>(_ body: () throws -> Result) throws -> Result {
    let isOurs: Void? = state.withLock(
      when: { !$0.isChanging && !$0.isEnding }, before: .after(Self.patience)
    ) { $0.isChanging = true }
    guard isOurs != nil else {
      throw CommandError("another change of the devices is under way; try again")
    }
    defer { state.update { $0.isChanging = false } }
    return try body()
  }
}
