internal import CLinux
internal import LinuxPrimitives
internal import SystemPackage

/// The rules of Landlock for a process: everything is refused that is not allowed here.
struct FileRules: ~Copyable {
  /// Rights by the version of Landlock that brought them (landlock(7)).
  private enum Rights {
    static let execute: UInt64 = 1 << 0
    static let writeFile: UInt64 = 1 << 1
    static let readFile: UInt64 = 1 << 2
    static let readFolder: UInt64 = 1 << 3
    static let removeFile: UInt64 = 1 << 5
    static let makeFile: UInt64 = 1 << 8
    static let makeSocket: UInt64 = 1 << 9
    static let truncate: UInt64 = 1 << 14
    static let controlDevice: UInt64 = 1 << 15

    /// All that a version knows.
    static func all(_ version: Int32) -> UInt64 {
      let bits = version >= 5 ? 16 : version >= 3 ? 15 : version >= 2 ? 14 : 13
      return 1 << bits - 1
    }

    /// Bind and connect.
    static func network(_ version: Int32) -> UInt64 { version >= 4 ? 3 : 0 }
    static let connect: UInt64 = 2
    /// Abstract UNIX sockets, signals.
    static func scopes(_ version: Int32) -> UInt64 { version >= 6 ? 3 : 0 }
  }

  /// What versions lack, in words for the log.
  static func missing(in version: Int32) -> [String] {
    let parts: [(since: Int32, String)] = [
      (1, "files"), (3, "truncation"), (4, "TCP ports"), (5, "devices"),
      (6, "abstract sockets and signals"),
    ]
    return parts.filter { version < $0.since }.map { "Landlock for \($0.1)" }
  }

  private let rules: OwnedDescriptor
  private let version: Int32
  private var known: UInt64 { Rights.all(version) }

  /// - Parameter version: of the kernel's Landlock.
  init(_ version: Int32) throws(SystemCallError) {
    self.version = version
    rules = OwnedDescriptor(
      adopting: try checked(
        "landlock_create_ruleset",
        clinux_landlock_create(
          Rights.all(version), Rights.network(version), Rights.scopes(version))))
  }

  /// Allows access to a file, or to a folder with everything in it.
  ///
  /// - Returns: false when there is none.
  @discardableResult
  func allow(_ path: FilePath, _ access: SandboxNeeds.Access) throws(SystemCallError) -> Bool {
    var rights: UInt64 = 0
    if access.contains(.read) { rights |= Rights.readFile | Rights.readFolder }
    if access.contains(.write) {
      rights |= Rights.writeFile | Rights.truncate | Rights.controlDevice
    }
    if access.contains(.make) {
      rights |= Rights.makeFile | Rights.makeSocket | Rights.removeFile
    }
    if access.contains(.execute) { rights |= Rights.execute }
    // Sound: the string is lent for the call.
    let result = unsafe path.withPlatformString {
      unsafe clinux_landlock_allow(rules.number, $0, rights & known)
    }
    return try checked("landlock_add_rule", result) == 0
  }

  /// Allows connections to a TCP port, where that can be ruled.
  func allow(port: UInt16) throws(SystemCallError) {
    guard version >= 4 else { return }
    _ = try checked(
      "landlock_add_rule", clinux_landlock_allow_port(rules.number, port, Rights.connect))
  }

  /// This thread, and what it starts, keeps to the rules from here on.
  consuming func enter() throws(SystemCallError) {
    _ = try checked("landlock_restrict_self", clinux_landlock_enter(rules.number, version))
  }
}
