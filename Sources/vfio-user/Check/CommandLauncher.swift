import FoundationEssentials
import Glibc
import SystemPackage
import VFIOUserConformance

/// A command line in which `{}` stands for a socket, and what starts it.
struct CommandLauncher: ClientLauncher {
  let program: String
  let arguments: [String]
  /// Where its output goes: nowhere, or to standard error.
  let isShown: Bool

  /// - Throws: `LaunchFailure` when there is no such program.
  init(_ command: [String], socket: String, isShown: Bool) throws(LaunchFailure) {
    guard let name = command.first else { throw LaunchFailure("there is no command.") }
    guard let path = Self.find(name) else {
      throw LaunchFailure("there is no program '\(name)' that can be executed.")
    }
    program = path
    arguments = command.dropFirst().map { $0.replacing("{}", with: socket) }
    self.isShown = isShown
  }

  /// The path of a program, which is searched in PATH when it has no slash.
  private static func find(_ name: String) -> String? {
    let folders =
      name.contains("/")
      ? [""]
      : (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map { "\($0)/" }
    return folders.map { $0 + name }.first { FileManager.default.isExecutableFile(atPath: $0) }
  }

  func start() throws(LaunchFailure) -> any RunningClient {
    let output = isShown ? StartedProgram.Stream.same(STDERR_FILENO) : .null
    do throws(Errno) {
      return try StartedProgram(
        program, arguments: arguments, input: .null, output: output, errors: output)
    } catch {
      throw LaunchFailure("\(program) cannot be started: \(error)")
    }
  }
}

extension StartedProgram: RunningClient {
  func end() { kill() }
}
