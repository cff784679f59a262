internal import CLinux
internal import LinuxPrimitives
internal import Logging
internal import VFIOUserServer

/// What this process takes over from the program before it.
///
/// Everything works on duplicates of the inherited descriptors, so that the program before this one finds all of them if
/// this one fails.
final class TakeOver {
  private let record: UpgradeRecord
  private let servers: [UpgradeServer]
  /// Why the new version has failed, if this is the old one again.
  private let failure: String?
  private var taken: [TakenOverServer] = []
  let control: ControlSocket?
  private let caller: UpgradeCaller?

  /// The devices that are other than those of the command line.
  var changes: DeviceChanges { record.changes }

  /// How the program before this one has confined the process; nil if it has not, or the kernel knows nothing of it.
  var sandbox: SandboxState? {
    guard let state = record.sandbox, state.isInForce, clinux_has_filter() == 1 else { return nil }
    return state
  }

  /// The device processes of a supervisor.
  var processes: [DeviceProcess] { record.processes ?? [] }
  var strangers: Set<Int32>? { record.strangers }

  /// How long the devices may take to come to rest.
  static let patience: Duration = .seconds(5)

  /// Reads what was left, and makes it available to devices that are opened.
  init() throws {
    let file: Int32
    switch Successor.task {
    case .takeOver(let number, _)?: (file, failure) = (number, nil)
    case .goBack(let number, _, let reason)?: (file, failure) = (number, reason)
    default: throw CommandError("there is nothing to take over")
    }
    (record, servers) = try Successor.read(file)
    KeptDescriptor.inherit(
      try record.kept.map {
        KeptDescriptor.Entry(
          name: $0.name, number: try OwnedDescriptor.duplicate(of: $0.number).release())
      })
    control =
      try record.control < 0 ? nil : ControlSocket(OwnedDescriptor.duplicate(of: record.control))
    caller = try record.caller.map { try UpgradeCaller($0) }
    ClientProcesses.ofThisProcess.load(record.clients)
    LogLevel.current = LogOptions.Level(rawValue: record.logLevel) ?? LogLevel.current
    OwnProgram.path.update { [record] in
      $0 = failure != nil ? record.path : record.nextPath ?? $0
    }
  }

  /// The server that was left under a name; nil if there was none.
  func server(_ name: String) -> SavedServer? { servers.first { $0.name == name }?.saved }

  /// Takes over a device and its client.
  ///
  /// - Returns: the listening socket.
  func take(_ server: DeviceServer, _ saved: SavedServer) throws -> ListeningSocket {
    let one = try server.takeOver(try saved.duplicated(), before: .after(Self.patience))
    taken.append(one)
    return one.listener
  }

  /// Nothing may fail any more.
  func commit() { Successor.commit(record, servers) }

  /// Starts what can fail to start, and waits.
  func startSessions() throws { for one in taken { try one.startSession() } }

  /// The devices go on.
  func proceed() { for one in taken { one.proceed() } }

  /// The process that has kept the memory of the program before this one; 0 if there is none.
  var holder: Int32 { record.holder }

  /// Says what has happened, in the log and to whoever has asked.
  func finish(_ logger: Logger) {
    let pause = UpgradePause(
      began: record.began, written: record.written, started: Successor.began, done: Deadline.now)
    if let failure {
      let message = "the new program has failed (\(failure)); the old one goes on"
      logger.error("\(message)", metadata: ["pause": "\(pause)"])
      caller?.send(ControlFailure(message))
      return
    }
    let result = UpgradeResult(
      from: record.version, to: Program.libraryVersion, pause: record.pause ?? pause,
      devices: record.processes?.flatMap(\.plan.devices).count ?? servers.count,
      count: record.count + 1)
    logger.notice(
      "the program was replaced",
      metadata: ["from": "\(result.from)", "to": "\(result.to)", "pause": "\(pause)"])
    caller?.send(result)
  }
}
