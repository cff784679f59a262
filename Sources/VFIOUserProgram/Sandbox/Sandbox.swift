internal import CLinux
internal import Glibc
internal import LinuxPrimitives
internal import Logging
internal import SystemPackage

/// The confinement of this process: what a guest that has broken into it finds.
///
/// It is made in two steps. ``init(_:_:files:)`` is called when everything is open and the process has one thread still:
/// Landlock, privileges and limits are a thread's own, and every thread inherits them from the one that starts it.
/// ``close()`` is called when the other threads are there, before a client is served: all of them get the list of
/// system calls.
///
/// A new version of the program finds all of it in force, and adds nothing: layers would add up.
struct Sandbox {
  /// What is in force.
  let state: SandboxState
  private let filter: SystemCallFilter?
  private let broker: Broker?

  /// Confines the process to files and privileges, as far as the kernel can.
  ///
  /// - Parameters:
  ///   - options: nil where nobody has asked; then it is on.
  ///   - needs: what the devices need.
  ///   - files: what the broker has to do for the process.
  /// - Throws: ``CommandError``, if it has to be complete and is not.
  init(_ options: SandboxOptions, _ needs: SandboxNeeds, files: [Broker.File]) throws {
    var state = SandboxState()
    guard options.sandbox != .off else {
      (self.state, filter, broker) = (state, nil, nil)
      return
    }
    state.level = options.sandbox ?? .on
    state.isOpen = !options.sandboxAllow.isEmpty
    let threads = clinux_thread_count()
    if threads < 0 {
      state.missing.append("/proc, which says that there is one thread")
    } else if threads > 1 {
      state.missing.append("one thread at the start (there are \(threads))")
    }
    let version = clinux_landlock_version()
    state.landlock = max(0, version)
    state.missing += FileRules.missing(in: version)
    if state.level == .strict, !state.missing.isEmpty { throw Self.incomplete(state.missing) }
    broker = try threads <= 1 && version > 0 ? Broker(files) : nil
    do {
      try Self.giveUpPrivileges()
      if version > 0 { try Self.enter(version, needs, options.sandboxAllow) }
    } catch {
      throw CommandError(
        "\(error): the process cannot confine itself. --sandbox off serves without.")
    }
    let filter = SystemCallFilter(Self.rules(needs, isOpen: !options.sandboxAllow.isEmpty))
    state.systemCalls = filter.count
    state.broker = broker?.record
    self.filter = filter
    self.state = state
  }

  /// Continues in what the program before this one has made.
  init(_ state: SandboxState) throws {
    broker = try state.broker.map { try Broker($0) }
    var state = state
    state.broker = broker?.record
    self.state = state
    filter = nil
    clinux_hide_memory()
  }

  private static func incomplete(_ missing: [String]) -> CommandError {
    CommandError(
      "the sandbox would lack \(missing.joined(separator: ", ")). --sandbox on serves without that."
    )
  }

  private static func giveUpPrivileges() throws(SystemCallError) {
    _ = try checked("prctl(PR_SET_NO_NEW_PRIVS)", clinux_set_no_new_privileges())
    clinux_freeze_limits()
    clinux_hide_memory()
    _ = try checked("capset", clinux_drop_capabilities())
  }

  private static func enter(
    _ version: Int32, _ needs: SandboxNeeds, _ allowed: [String]
  ) throws(SystemCallError) {
    let rules = try FileRules(version)
    for file in ProgramFiles.needs + needs.files { try rules.allow(file.path, file.access) }
    for path in allowed { try rules.allow(FilePath(path), [.read, .write, .make]) }
    for port in needs.ports { try rules.allow(port: port) }
    try rules.enter()
  }

  private static func rules(_ needs: SandboxNeeds, isOpen: Bool) -> [SystemCallRule] {
    SystemCallPolicy.base + (isOpen ? SystemCallPolicy.adding : [])
      + (needs.connects ? SystemCallPolicy.connectingByPath : [])
      + (needs.ports.isEmpty ? SystemCallPolicy.sending : SystemCallPolicy.connectingByTCP)
      + (needs.looksUpNames ? SystemCallPolicy.lookingUp : [])
      + needs.systemCalls.map { SystemCallRule($0) }
  }

  /// From here on a refused call is said, and fails.
  ///
  /// Tests have the process end at the first one: an overlooked call has to be seen.
  static func sayRefusedCalls() {
    // Sound: nothing changes the environment.
    clinux_handle_refused_calls(unsafe getenv("VFIO_USER_SANDBOX_KILL") == nil ? 0 : 1)
  }

  /// Confines all threads to the system calls of the devices.
  func close() throws {
    guard let filter else { return }
    Self.sayRefusedCalls()
    // Sound: the instructions are lent for the call.
    let result = unsafe filter.instructions.withUnsafeBufferPointer {
      unsafe clinux_filter_system_calls($0.baseAddress, UInt32($0.count))
    }
    guard result == 0 else {
      throw CommandError(
        "seccomp: \(Errno(rawValue: -result)): the process cannot confine itself. --sandbox off serves without."
      )
    }
  }

  /// Files that were made at the start stay.
  func settle() { clinux_broker_settle() }

  /// Says what is in force.
  func report(to logger: Logger) {
    guard state.isInForce else { return }
    logger.log(
      level: state.missing.isEmpty ? .info : .warning,
      state.missing.isEmpty
        ? "the process is confined" : "the process is confined, but the kernel lacks a part",
      metadata: [
        "landlock": "ABI \(state.landlock)", "calls": "\(state.systemCalls)",
        "missing": "\(state.missing.isEmpty ? "nothing" : state.missing.joined(separator: ", "))",
      ])
  }
}

/// What is in force, for people and for the next version of the program.
struct SandboxState: Codable, Sendable {
  var level = SandboxMode.off
  /// The version of Landlock; 0 without it.
  var landlock: Int32 = 0
  /// Number of system calls that are allowed.
  var systemCalls = 0
  /// What the kernel lacks.
  var missing: [String] = []
  /// Whether there are files for devices that are added.
  var isOpen = false
  var broker: Broker.Record?

  var isInForce: Bool { level != .off }

  private static let remedy =
    "This process is confined to what it was started with: --sandbox-allow PATH, at its start, names files and folders for devices that are added."

  /// - Throws: ``CommandError`` when no device can be added.
  func checkAddition() throws {
    if isInForce, !isOpen { throw CommandError(Self.remedy) }
  }

  /// Adds to the failure of an addition what the sandbox has to do with it.
  func explain(_ error: any Error) -> any Error {
    let text = "\(error)"
    let refusals = [Errno.permissionDenied, .notPermitted].map { "\($0)" }
    guard isInForce, refusals.contains(where: text.contains) else { return error }
    return CommandError("\(text) \(Self.remedy)")
  }

  /// A few words.
  var summary: String {
    guard isInForce else { return "off" }
    let lacking = missing.isEmpty ? "" : ", without \(missing.joined(separator: ", "))"
    return "\(level.rawValue), Landlock ABI \(landlock), \(systemCalls) system calls\(lacking)"
  }
}
