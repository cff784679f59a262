internal import CLinux
internal import SystemPackage

/// What a process that serves may be and have: whose it is, and how much private memory it may use.
package struct ProcessPrivileges: Equatable, Sendable {
  /// A name or a number; nil for the user that has started the process.
  package var user: String?
  /// Nil for the group of the user.
  package var group: String?
  /// Bytes of private memory (RLIMIT_DATA); nil without a limit.
  ///
  /// The guest's memory, and that of a disk in memory, is shared and does not count.
  package var memoryLimit: UInt64?

  package static let unchanged = ProcessPrivileges()

  package init(user: String? = nil, group: String? = nil, memoryLimit: UInt64? = nil) {
    self.user = user
    self.group = group
    self.memoryLimit = memoryLimit
  }

  /// Changes this process, for good; called before anything of a device is opened.
  ///
  /// - Throws: ``CommandError`` if there is no such user, or this process may not become it.
  func apply() throws {
    if let user { try become(user) }
    guard let memoryLimit else { return }
    let result = clinux_limit_memory(memoryLimit)
    guard result == 0 else {
      throw CommandError(
        "memory cannot be limited to \(memoryLimit) bytes: \(Errno(rawValue: -result)). Is the limit of this process lower already (ulimit -d)?"
      )
    }
  }

  private func become(_ user: String) throws {
    var wanted = try find(user)
    if let group { wanted.group = try Self.number(ofGroup: group) }
    let present = clinux_present_user()
    guard present.user == 0 else {
      guard present.user != wanted.user || present.group != wanted.group else { return }
      throw CommandError(
        "this process of user \(present.user) cannot become \(user): only root can. Start it as root, or as \(user) without the option."
      )
    }
    // Sound: string and structure are lent for the call.
    let result = unsafe clinux_become(user, &wanted)
    guard result == 0 else {
      throw CommandError(
        "this process cannot become \(user): \(Errno(rawValue: -result)). It takes CAP_SETUID and CAP_SETGID."
      )
    }
  }

  private func find(_ name: String) throws -> clinux_user {
    var found = clinux_user(user: 0, group: 0)
    // Sound: string and structure are lent for the call.
    guard unsafe clinux_find_user(name, &found) == 0 else {
      throw CommandError("there is no user '\(name)'; useradd --system makes one.")
    }
    return found
  }

  private static func number(ofGroup name: String) throws -> UInt32 {
    var found: UInt32 = 0
    // Sound: string and number are lent for the call.
    guard unsafe clinux_find_group(name, &found) == 0 else {
      throw CommandError("there is no group '\(name)'; groupadd --system makes one.")
    }
    return found
  }
}
