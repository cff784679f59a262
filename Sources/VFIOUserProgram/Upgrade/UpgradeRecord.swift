internal import LinuxPrimitives
internal import VFIOUserServer

/// What a program leaves to its new version, beside its servers.
struct UpgradeRecord: Codable, Sendable {
  /// The version of the program that ends here.
  var version: String
  /// The path of its file; nil if that is not known.
  var path: String?
  /// The path of the program that follows, which may be executed from another file; nil from a program that knew of no
  /// sandbox.
  var nextPath: String?
  /// The text of its configuration file, if it has one: the way back must not depend on what is in the file by then.
  var configuration: String?
  /// What is in the file by now, for a new version that cannot open it.
  var nextConfiguration: String?
  /// When it stopped to serve, in nanoseconds of the monotonic clock.
  var began: UInt64
  /// When the devices were written down.
  var written: UInt64
  /// The number of upgrades of this process before this one.
  var count: Int
  /// The process that keeps the memory of the program; 0 if there is none.
  var holder: Int32
  /// Descriptors that the devices have announced.
  var kept: [KeptDescriptor.Entry]
  /// The listening control socket; -1 if there is none.
  var control: Int32
  /// Whoever has asked for the upgrade; nil if a signal did.
  var caller: UpgradeCaller.Record?
  /// The devices that are other than those of the command line.
  var changes: DeviceChanges
  /// Processes that may change nothing.
  var clients: [ClientProcesses.Entry]
  /// The log level, which may be another than that of the command line.
  var logLevel: String
  /// The device processes of a supervisor; nil in a process that serves.
  var processes: [DeviceProcess]?
  /// Its children that it has found in its process; nil from a program that knew of none.
  var strangers: Set<Int32>?
  /// The longest pause of a device while these were upgraded.
  var pause: UpgradePause?
  /// How the process is confined; nil from a program that knew of no sandbox.
  var sandbox: SandboxState?
}

/// A server under the name of its device.
struct UpgradeServer: Codable, Sendable {
  var name: String
  var saved: SavedServer
}

extension UpgradeRecord {
  /// The numbers of all descriptors that must stay open.
  func descriptors(with servers: [UpgradeServer]) -> [Int32] {
    kept.map(\.number)
      + [control, caller?.descriptor ?? -1, sandbox?.broker?.connection ?? -1].filter { $0 >= 0 }
      + servers.flatMap(\.saved.descriptors)
  }
}
