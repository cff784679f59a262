internal import CLinux
internal import Glibc
internal import LinuxPrimitives
internal import SystemPackage
internal import VFIOUserServer

/// Replaces the program of this process by a new version, while clients stay connected.
///
/// 1. All devices are halted for a moment and written down, and the new program is tried with that in a child process.
/// 2. All devices are halted again and written down, and the new program is executed in this process.
///
/// Whatever fails before the second step is complete: the devices go on as if nothing had been.
struct Upgrade {
  /// How long devices may take to come to rest.
  static let patience: Duration = .seconds(2)

  let servers: [ServedServer]
  let control: ControlSocket?
  let changes: DeviceChanges
  var sandbox = SandboxState()
  /// The device processes of a supervisor, which stay; nil in a process that serves.
  var processes: [DeviceProcess]?
  /// Its other children.
  var strangers: Set<Int32>?
  /// The longest pause of a device in these.
  var pause: UpgradePause?

  /// Replaces the program.
  ///
  /// - Parameters:
  ///   - path: the new program; nil for the file that has the path of this one.
  ///   - opened: the program, opened by whoever has asked.
  ///   - caller: who gets the answer; nil if nobody has asked.
  /// - Throws: why the old program goes on. It does not return otherwise.
  func run(_ path: String?, opened: OwnedFile? = nil, caller: UpgradeCaller?) throws {
    let program = try NextProgram.find(path, opened: opened, isConfined: sandbox.isInForce)
    let image = try OwnProgram.open()
    let text = sandbox.isInForce ? ServedConfiguration.present() : nil
    try tryOut(program, text)
    try execute(program, text, image, caller)
  }

  private func tryOut(_ program: borrowing NextProgram, _ text: String?) throws {
    let halted = try HaltedServers(servers)
    let path = program.path
    let written = try halted.halting {
      try write($0, since: $1, holder: 0, caller: nil, path, text)
    }
    try Trial(file: program.file, path: path).run(written.file)
  }

  private func execute(
    _ program: borrowing NextProgram, _ text: String?, _ image: borrowing OwnedDescriptor,
    _ caller: UpgradeCaller?
  ) throws {
    let (path, executed) = (program.path, program.file)
    let halted = try HaltedServers(servers)
    let imageNumber = image.number
    try halted.halting { servers, began in
      let holder = MemoryHolder()
      let written = try write(
        servers, since: began, holder: holder.process, caller: caller, path, text)
      let file = written.file.number
      let all = written.descriptors + [file, imageNumber]
      let variable = UpgradeVariable.takeOver(file: file, image: imageNumber)
      let failure = Self.replace(by: executed, variable, keeping: all)
      // Until here they last.
      _ = consume written
      _ = consume holder
      throw failure
    }
  }

  /// - Returns: why that was not possible.
  private static func replace(
    by path: String, _ variable: UpgradeVariable, keeping descriptors: [Int32]
  ) -> CommandError {
    clinux_forget_upgrades()
    LogQueue.standardError.flush()
    clinux_terminal_pause()
    for number in descriptors { _ = clinux_keep_on_exec(number) }
    // Sound: the strings are lent for the call.
    let failure = unsafe clinux_execute(path, variable.text)
    for number in descriptors { _ = clinux_set_close_on_exec(number) }
    clinux_terminal_resume()
    return CommandError("\(path) cannot be executed: \(Errno(rawValue: -failure))")
  }

  /// What is handed over.
  private struct Written: ~Copyable {
    /// The memory file.
    let file: OwnedDescriptor
    /// All descriptors that have to stay open.
    let descriptors: [Int32]
  }

  /// Writes down devices that were halted at `began`.
  private func write(
    _ servers: [UpgradeServer], since began: UInt64, holder: Int32, caller: UpgradeCaller?,
    _ nextPath: String, _ nextConfiguration: String?
  ) throws -> Written {
    let record = UpgradeRecord(
      version: Program.libraryVersion, path: OwnProgram.present,
      nextPath: nextPath, configuration: ServedConfiguration.text,
      nextConfiguration: nextConfiguration, began: began, written: Deadline.now,
      count: Successor.upgradeCount, holder: holder, kept: KeptDescriptor.announced,
      control: control?.number ?? -1, caller: caller.flatMap(\.record),
      changes: changes, clients: ClientProcesses.ofThisProcess.entries,
      logLevel: LogLevel.current.rawValue, processes: processes,
      strangers: strangers, pause: pause, sandbox: sandbox)
    return Written(
      file: try HandoverStream.write(record, servers),
      descriptors: record.descriptors(with: servers))
  }
}

/// A process that has the memory of this one until the program is replaced; see `clinux_hold_memory`.
///
/// Its memory is the kernel's affair alone: nothing here uses the pointer in it.
@safe private struct MemoryHolder: ~Copyable {
  private var holder = unsafe clinux_memory_holder()

  /// 0 if there is none: then the pause is longer.
  var process: Int32 { unsafe holder.process }

  init() {
    // Sound: the structure is lent for the call.
    _ = unsafe clinux_hold_memory(&holder)
  }

  deinit {
    // Sound: the structure is what `clinux_hold_memory` has left, and is used no more.
    unsafe withUnsafePointer(to: holder) { unsafe clinux_end_holder($0) }
  }
}

/// The halt of all devices of the process.
private struct HaltedServers {
  private let devices: [(name: String, handover: ServerHandover)]

  init(_ servers: [ServedServer]) throws {
    devices = try servers.map { one in
      try explaining(one.name) {
        (one.socketName, try ServerHandover(one.server, one.listener))
      }
    }
  }

  /// Halts all devices, runs `body` with what they are and when they were halted, and lets them go on.
  func halting<Result: ~Copyable>(
    _ body: ([UpgradeServer], _ began: UInt64) throws -> Result
  ) throws -> Result {
    let began = Deadline.now
    let deadline = Deadline.after(Upgrade.patience)
    defer { each { $0.end() } }
    each { $0.begin() }
    try eachExplaining { try $0.waitUntilResting(before: deadline) }
    each { $0.suspend() }
    try eachExplaining { try $0.waitUntilSuspended(before: deadline) }
    var servers: [UpgradeServer] = []
    for (name, handover) in devices {
      try explaining(name) {
        servers.append(UpgradeServer(name: name, saved: try handover.record(before: deadline)))
      }
    }
    return try body(servers, began)
  }

  private func each(_ body: (ServerHandover) -> Void) { for one in devices { body(one.handover) } }

  private func eachExplaining(_ body: (ServerHandover) throws -> Void) throws {
    for (name, handover) in devices { try explaining(name) { try body(handover) } }
  }
}

private func explaining<Result>(_ name: String, _ body: () throws -> Result) throws -> Result {
  do { return try body() } catch { throw CommandError("\(name): \(error)") }
}
