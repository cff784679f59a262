import Foundation
import TestSupport
import Testing

@testable import NVMeDevice

/// A server program on a UNIX socket, in a folder of its own.
final class NBDServer {
  let folder: ScratchFolder
  private let program: String
  private let arguments: [String]
  private(set) var process: ChildProcess?

  /// Whether a program of Debian's packages is there.
  static func has(_ programs: String...) -> Bool {
    programs.allSatisfy { FileManager.default.isExecutableFile(atPath: "/usr/bin/\($0)") }
  }

  static let remedy =
    "it takes libnbd, nbdkit and qemu-nbd: apt-get install libnbd-dev nbdkit qemu-utils"
  static let isPossible = isBuilt && has("nbdkit", "qemu-nbd", "qemu-img")

  /// Whether the package was built with libnbd.
  private static var isBuilt: Bool {
    let address = try? NBDAddress(parsing: "nbd://localhost")
    return address.flatMap { try? NBDHandle($0) } != nil
  }

  private init(_ program: String, in folder: ScratchFolder, _ arguments: [String]) throws {
    self.program = program
    self.folder = folder
    self.arguments = arguments
    try start()
  }

  /// `nbdkit`, with a plug-in and filters.
  static func nbdkit(
    _ plugin: [String], filters: [String] = [], options: [String] = [],
    in folder: ScratchFolder? = nil
  ) throws -> NBDServer {
    let folder = try folder ?? ScratchFolder()
    return try NBDServer(
      "nbdkit", in: folder,
      ["-f", "-U", folder.path("nbd.sock")] + options + filters.map { "--filter=\($0)" } + plugin)
  }

  /// `qemu-nbd` with an image of a format that is made first.
  static func qemu(
    size: String = "64M", format: String = "qcow2", options: [String] = [],
    in folder: ScratchFolder? = nil
  ) throws -> NBDServer {
    let folder = try folder ?? ScratchFolder()
    let image = folder.path("image")
    if !FileManager.default.fileExists(atPath: image) {
      let made = try ProgramRun(
        URL(filePath: "/usr/bin/qemu-img"), ["create", "-q", "-f", format, image, size])
      try #require(made.exitCode == 0, "\(made.errors)")
    }
    return try NBDServer(
      "qemu-nbd", in: folder,
      ["-t", "-f", format, "-k", folder.path("nbd.sock"), "-x", "disk"] + options + [image])
  }

  deinit { kill() }

  var socket: String { folder.path("nbd.sock") }

  /// The address of an export.
  func address(
    _ export: String = "", _ parameters: String = "", scheme: String = "nbd+unix", user: String = ""
  ) throws -> NBDAddress {
    try NBDAddress(parsing: "\(scheme)://\(user)/\(export)?socket=\(socket)\(parameters)")
  }

  /// Starts it (again), and waits until it listens.
  func start() throws {
    try? FileManager.default.removeItem(atPath: socket)
    let process = try ChildProcess(
      URL(filePath: "/usr/bin/\(program)"), arguments, log: folder.path("log"))
    self.process = process
    guard eventually({ isListening(on: self.socket) || !process.isRunning }), process.isRunning
    else { throw HarnessError("\(program) does not listen: \(process.whatItSaid)") }
  }

  func kill() { process?.kill() }
}
