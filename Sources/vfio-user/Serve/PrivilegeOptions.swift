import ArgumentParser
import VFIOUserProgram

/// Whose a device's process is, and how much memory it may use; also keys of a configuration file.
struct PrivilegeOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Become this user before anything is opened; takes root. Socket, files and state are the user's then.",
      valueName: "name"))
  var user: String?

  @Option(help: ArgumentHelp("And this group, instead of the user's own.", valueName: "name"))
  var group: String?

  @Option(
    help: ArgumentHelp(
      "How much private memory the process may use (256M); guest memory and a disk in memory do not count.",
      valueName: "size"))
  var memoryLimit: String?

  /// Less than a process needs to start.
  private static let smallest = ByteCount(32 << 20)

  func validate() throws {
    guard group == nil || user != nil else {
      throw ValidationError("--group goes with --user.")
    }
    guard let memoryLimit else { return }
    let limit = try ByteCount(text: memoryLimit)
    guard limit.bytes >= Self.smallest.bytes else {
      throw ValidationError(
        "--memory-limit takes at least \(Self.smallest), not \(limit): the process would not start."
      )
    }
  }

  var privileges: ProcessPrivileges {
    ProcessPrivileges(
      user: user, group: group, memoryLimit: memoryLimit.flatMap { ByteCount(argument: $0)?.bytes })
  }
}
