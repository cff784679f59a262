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
    fileprivate(set) var isEnding = false
    /// Children that this program has found in its process, and does not care for.
    var strangers: Set<Int32> = []
    /// Why the process ends by itself.
    fileprivate var failure: CommandError?

    func isRunning(_ process: Int32) -> Bool { processes.contains { $0.process == process } }
  }

  /// How long a change waits for another one.
  private static let patience: Duration = .seconds(10)
  /// How long device processes may take to end when they are asked to.
  static let endPatience: Duration = .seconds(20)
  /// How long the kernel may take to end them.
  static let killPatience: Duration = .seconds(3)

  let state = Monitor(State())
  let options: ServingOptions
  let catalogue: DeviceCatalogue
  let logger: Logger
  /// When the present program began to supervise.
  let began = Deadline.now
  let control: ControlSocket?
  private let named: KeptListener?
  /// The program of device processes.
  let program = OwnProgram.present ?? "/proc/self/exe"

  init(
    _ options: ServingOptions, _ catalogue: DeviceCatalogue, _ tookOver: TakeOver?, _ logger: Logger
  ) throws {
    self.options = options
    self.catalogue = catalogue
    self.logger = logger
    named = try options.control.map { try KeptListener(FilePath($0), keptAs: "control socket") }
    control = tookOver?.control ?? (tookOver == nil ? ControlSocket.open(logger) : nil)
    let processes = tookOver?.processes ?? []
    let strangers = tookOver?.strangers ?? Self.children(except: processes)
    state.update { ($0.processes, $0.strangers) = (processes, strangers) }
    let failure = clinux_adopt_orphans()
    if failure < 0 { throw Errno(rawValue: -failure) }
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
      // Before the first wait, too: what has died during an upgrade of this program sends no signal any more.
      reap()
      startDue()
      for body in state.withLock({ exchange(&$0.work, with: []) }) { body() }
      if let failure = state.withLock({ $0.failure }) {
        end()
        throw failure
      }
      switch clinux_wait_for_supervisor_signal(untilNextStart) {
      case SIGINT, SIGTERM: return end()
      case SIGHUP: signalAll(SIGHUP)
      case SIGUSR2: upgradeOnSignal()
      // SIGCHLD, or somebody has work for this thread.
      default: break
      }
    }
  }

  /// Nanoseconds; negative for ever.
  private var untilNextStart: Int64 {
    let next = state.withLock { $0.processes.compactMap(\.nextStart).min() }
    return next.map { Deadline(instant: $0).remaining } ?? -1
  }

  /// Asks all processes to end, and ends those that do not.
  private func end() {
    state.update { $0.isEnding = true }
    signalAll(SIGTERM)
    waitForEnds(.after(Self.endPatience))
    for one in state.withLock({ $0.processes }) where one.process > 0 {
      logger.error(
        "a device process has not ended within \(Self.endPatience), and is killed",
        metadata: ["devices": "\(one.plan.name)", "process": "\(one.process)"])
      kill(one.process, SIGKILL)
    }
    // The kernel may take long to end one that waits for a disk; nobody waits for it with this process.
    waitForEnds(.after(Self.killPatience))
  }

  private func waitForEnds(_ deadline: Deadline) {
    while isAnyRunning, !deadline.hasPassed {
      _ = clinux_wait_for_supervisor_signal(min(100_000_000, deadline.remaining))
      reap()
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
