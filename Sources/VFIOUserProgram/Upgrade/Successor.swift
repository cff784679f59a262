internal import CLinux
internal import Glibc
internal import LinuxPrimitives
internal import Logging
internal import Synchronization
internal import VFIOUserServer

/// The new program's side of an upgrade: what the program before it has left.
package enum Successor {
  /// How long the new program may take before the old one is executed again, in seconds.
  static let patience: UInt32 = 10

  /// When this program started, in nanoseconds of the monotonic clock.
  static var began: UInt64 { start.load(ordering: .relaxed) }

  private static let start = Atomic<UInt64>(0)
  private static let count = Atomic(0)
  nonisolated(unsafe) private static var variable: UpgradeVariable?

  /// The number of upgrades of this process.
  static var upgradeCount: Int { count.load(ordering: .relaxed) }

  /// Looks whether there is a predecessor; from now on a crash leads back to it.
  ///
  /// Call it first of all.
  static func prepare() {
    start.store(Deadline.now, ordering: .relaxed)
    unsafe variable = UpgradeVariable.take()
    // A filter stays in force, and what it refuses would be the end of this program.
    if task != nil, clinux_has_filter() == 1 { Sandbox.sayRefusedCalls() }
    guard case .takeOver(let file, let image)? = task else { return }
    // The reason is put behind it.
    let back = UpgradeVariable.goBack(file: file, image: image, reason: "")
    // Sound: the string is lent for the call.
    unsafe clinux_arm_fallback(image, back.text, patience)
  }

  /// What the process has to do; nil for an ordinary start.
  static var task: UpgradeVariable? { unsafe variable }

  /// Says why the program fails and executes the one before it, if there is one and nothing was served yet.
  ///
  /// Returns otherwise.
  static func fallBack(_ error: any Error) {
    guard case .takeOver? = task else { return }
    note("\(error)")
    clinux_terminal_pause()
    // Sound: the string is lent for the call.
    unsafe clinux_fall_back("its own error, see above")
  }

  /// Whether the program before this one was a supervisor, whatever the configuration file says by now; nil in an ordinary
  /// start.
  package static var isSupervisor: Bool? {
    get throws {
      switch task {
      case nil: nil
      case .trial(let file)?, .takeOver(let file, _)?, .goBack(let file, _, _)?:
        try read(file).0.processes != nil
      }
    }
  }

  /// The devices that this program is to serve: those of its command line, and in a program that takes over what was
  /// added and removed since.
  static func devices(
    _ initial: [DeviceToServe], _ catalogue: DeviceCatalogue?
  ) throws -> [DeviceToServe] {
    switch task {
    case nil: return initial
    case .trial(let file)?, .takeOver(let file, _)?, .goBack(let file, _, _)?:
      return try read(file).0.changes.applied(to: initial, catalogue)
    }
  }

  /// Reads what was left.
  static func read(_ file: Int32) throws -> (UpgradeRecord, [UpgradeServer]) {
    // The file stays open: the program before this one may need it again.
    try HandoverStream.read(
      OwnedDescriptor.duplicate(of: file), as: UpgradeRecord.self, servers: UpgradeServer.self)
  }

  /// The trial: checks what was left against the devices of this program, and ends the process.
  static func tryOut(_ devices: [DeviceToServe], _ file: Int32) throws -> Never {
    let (record, servers) = try read(file)
    for one in devices where !servers.contains(where: { $0.name == one.command.socket.name }) {
      try one.explaining {
        try one.command.look()
        try record.sandbox?.checkAddition()
      }
    }
    for one in servers {
      guard let device = devices.first(where: { $0.command.socket.name == one.name }) else {
        throw CommandError("the device on \(one.name) is not among those that this program serves")
      }
      guard let type = device.command.deviceType else { continue }
      do {
        try DeviceServer.check(one.saved, for: type)
      } catch {
        throw CommandError("\(one.name): \(error)")
      }
    }
    try say("\(Trial.yes) \(Program.libraryVersion)")
    exit(EXIT_SUCCESS)
  }

  /// Nothing can fail any more: the descriptors of the program before this one are closed, of which this one has
  /// duplicates.
  static func commit(_ record: UpgradeRecord, _ servers: [UpgradeServer]) {
    clinux_disarm_fallback()
    // An upgrade that has failed is none.
    if case .takeOver? = task {
      count.store(record.count + 1, ordering: .relaxed)
    } else {
      count.store(record.count, ordering: .relaxed)
    }
    for number in record.descriptors(with: servers) { _ = clinux_close(number) }
    for name in KeptDescriptor.closeUntaken() {
      note("the new program does not use what the one before it has left: \(name)")
    }
    switch task {
    case .takeOver(let file, let image)?, .goBack(let file, let image, _)?:
      _ = clinux_close(file)
      _ = clinux_close(image)
    default: break
    }
    unsafe variable = nil
  }
}
