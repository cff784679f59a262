internal import Foundation

/// A server program on a UNIX socket, in a folder of its own.
package final class NBDServer: @unchecked Sendable {
  // Sound: one thread at a time uses it.

  package let folder: ScratchFolder
  private let program: String
  private let arguments: [String]
  private let port: UInt16?
  package private(set) var process: ChildProcess?

  /// Whether programs of Debian's packages are there.
  package static func has(_ programs: String...) -> Bool {
    programs.allSatisfy { FileManager.default.isExecutableFile(atPath: "/usr/bin/\($0)") }
  }

  /// Whether the package was built with libnbd.
  package static var isBuilt: Bool {
    #if canImport(CLibNBD)
      true
    #else
      false
    #endif
  }

  package static let isPossible = isBuilt && has("nbdkit", "qemu-nbd", "qemu-img")
  package static let remedy =
    "it takes libnbd, nbdkit and qemu-nbd: apt-get install libnbd-dev nbdkit qemu-utils"

  private init(
    _ program: String, in folder: ScratchFolder, port: UInt16? = nil, _ arguments: [String]
  )
    throws
  {
    self.program = program
    self.port = port
    self.folder = folder
    self.arguments = arguments
    try start()
  }

  /// `nbdkit`, with a plug-in and filters.
  package static func nbdkit(
    _ plugin: [String], filters: [String] = [], options: [String] = [],
    in folder: ScratchFolder? = nil, port: UInt16? = nil
  ) throws -> NBDServer {
    let folder = try folder ?? ScratchFolder()
    let place = port.map { ["-p", "\($0)", "-i", "127.0.0.1"] } ?? ["-U", folder.path("nbd.sock")]
    return try NBDServer(
      "nbdkit", in: folder, port: port,
      ["-f"] + place + options + filters.map { "--filter=\($0)" } + plugin)
  }

  /// `qemu-nbd` with an image of a format that is made first.
  package static func qemu(
    size: String = "64M", format: String = "qcow2", options: [String] = [],
    in folder: ScratchFolder? = nil
  ) throws -> NBDServer {
    let folder = try folder ?? ScratchFolder()
    let image = folder.path("image")
    if !FileManager.default.fileExists(atPath: image) {
      let made = try ProgramRun(
        URL(filePath: "/usr/bin/qemu-img"), ["create", "-q", "-f", format, image, size])
      guard made.exitCode == 0 else { throw HarnessError(made.errors) }
    }
    return try qemu(serving: image, format: format, options: options, in: folder)
  }

  /// `qemu-nbd` with what is there: an image, or another server's export.
  package static func qemu(
    serving source: String, format: String = "raw", options: [String] = [], in folder: ScratchFolder
  ) throws -> NBDServer {
    try NBDServer(
      "qemu-nbd", in: folder,
      ["-t", "-f", format, "-k", folder.path("nbd.sock"), "-x", "disk"] + options + [source])
  }

  deinit { kill() }

  package var socket: String { folder.path("nbd.sock") }

  /// The URI of an export.
  package func uri(
    _ export: String = "", _ parameters: String = "", scheme: String = "nbd+unix", user: String = ""
  ) -> String {
    "\(scheme)://\(user)/\(export)?socket=\(socket)\(parameters)"
  }

  /// Starts it (again), and waits until it listens.
  package func start() throws {
    try? FileManager.default.removeItem(atPath: socket)
    let process = try ChildProcess(
      URL(filePath: "/usr/bin/\(program)"), arguments, log: folder.path("log"))
    self.process = process
    guard eventually({ self.isListening || !process.isRunning }), process.isRunning
    else { throw HarnessError("\(program) does not listen: \(process.whatItSaid)") }
  }

  /// Whether it listens; asking the kernel does not disturb it.
  private var isListening: Bool {
    guard let port else { return isListeningSocket(socket) }
    let table = (try? String(contentsOfFile: "/proc/net/tcp", encoding: .utf8)) ?? ""
    let number = String(port, radix: 16, uppercase: true)
    return table.split(separator: "\n").contains {
      $0.contains(":\(String(repeating: "0", count: 4 - number.count))\(number) 00000000:0000 0A")
    }
  }

  package func kill() { process?.kill() }
}

/// The function has the name of a property above.
private func isListeningSocket(_ path: String) -> Bool { isListening(on: path) }
