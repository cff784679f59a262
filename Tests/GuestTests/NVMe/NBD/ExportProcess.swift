import Foundation
import Glibc
import TestSupport

/// An NBD server of Debian's packages on a UNIX socket, running; it can be killed and started again.
final class ExportProcess {
  let socket: String
  private let program: String
  private let arguments: [String]
  private let log: String
  private var process: ChildProcess

  /// Starts a server.
  ///
  /// - Parameters:
  ///   - name: of its socket in the folder.
  ///   - arguments: without the socket.
  init(_ program: String, _ name: String, _ arguments: [String], in folder: ScratchFolder) throws {
    socket = folder.path("\(name).nbd")
    self.program = program
    let place = program == "nbdkit" ? ["-f", "-U", socket] : ["-t", "-k", socket]
    self.arguments = place + arguments
    log = folder.path("\(name).nbd.log")
    process = try Self.start(program, self.arguments, socket, log)
  }

  deinit { process.kill() }

  private static func start(
    _ program: String, _ arguments: [String], _ socket: String, _ log: String
  ) throws -> ChildProcess {
    try? FileManager.default.removeItem(atPath: socket)
    let process = try ChildProcess(URL(filePath: "/usr/bin/\(program)"), arguments, log: log)
    guard eventually({ isListening(on: socket) || !process.isRunning }), process.isRunning else {
      throw HarnessError("\(program) does not listen: \(process.whatItSaid)")
    }
    return process
  }

  func kill() { process.kill() }

  /// After ``kill()``.
  func restart() throws { process = try Self.start(program, arguments, socket, log) }
}

/// What tests with NBD servers need of this machine.
enum NBDPrograms {
  /// Of Debian's packages nbdkit, qemu-utils and gnutls-bin.
  private static let names = ["nbdkit", "qemu-nbd", "qemu-img", "psktool"]

  static var isPossible: Bool {
    names.allSatisfy { FileManager.default.isExecutableFile(atPath: "/usr/bin/\($0)") }
      && hasLibrary
  }

  static let remedy =
    "it takes a build with libnbd, and servers: apt-get install libnbd-dev nbdkit qemu-utils gnutls-bin"

  /// Whether the program was built with libnbd.
  private static var hasLibrary: Bool {
    let said = try? ToolRun.output(
      of: URL(filePath: "/usr/bin/ldd"), [GuestEnvironment.program.path])
    return said?.contains("libnbd") ?? false
  }

  /// Runs one of them.
  @discardableResult
  static func run(_ program: String, _ arguments: String...) throws -> String {
    try ToolRun.output(of: URL(filePath: "/usr/bin/\(program)"), arguments)
  }
}
