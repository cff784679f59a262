import Foundation
import Glibc
import VFIOUserConformance

/// A command line in which `{}` stands for a socket, and what starts it.
struct CommandLauncher: ClientLauncher {
  let program: URL
  let arguments: [String]
  /// Where its output goes: nowhere, or to standard error.
  let isShown: Bool

  /// - Throws: `LaunchFailure` when there is no such program.
  init(_ command: [String], socket: String, isShown: Bool) throws(LaunchFailure) {
    guard let name = command.first else { throw LaunchFailure("there is no command.") }
    guard let path = Self.find(name) else {
      throw LaunchFailure("there is no program '\(name)' that can be executed.")
    }
    program = URL(filePath: path)
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
    do {
      return try CommandProcess(self)
    } catch {
      throw LaunchFailure("\(program.path) cannot be started: \(error.localizedDescription)")
    }
  }
}

/// A process that was started; it ends with the last reference.
final class CommandProcess: RunningClient, @unchecked Sendable {
  // Sound: `Process` may be asked from any thread whether it runs; all else happens in `init`.
  private let process = Process()

  init(_ launcher: CommandLauncher) throws {
    process.executableURL = launcher.program
    process.arguments = launcher.arguments
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = launcher.isShown ? FileHandle.standardError : FileHandle.nullDevice
    process.standardError = launcher.isShown ? FileHandle.standardError : FileHandle.nullDevice
    try process.run()
  }

  deinit { end() }

  var exitCode: Int32? {
    guard !process.isRunning else { return nil }
    let status = process.terminationStatus
    return process.terminationReason == .uncaughtSignal ? -status : status
  }

  func end() {
    guard process.isRunning else { return }
    kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
  }
}
