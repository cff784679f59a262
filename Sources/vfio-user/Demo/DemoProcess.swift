import FoundationEssentials
import Glibc
import SystemPackage
import VFIOUserClient
import VFIOUserProgram

/// A device process started by the demo.
final class DemoProcess {
  private let process: StartedProgram
  /// The process ID.
  var pid: Int32 { process.number }

  /// Starts this program as a device process and waits until it listens.
  ///
  /// - Parameters:
  ///   - device: the subcommand of `serve`, which is followed by `--socket` and the arguments.
  ///   - socket: the path of its socket.
  init(_ device: String, _ arguments: [String], socket: FilePath) throws {
    // Its announcement is meant for users who start it themselves.
    process = try StartedProgram(
      arguments: ["serve", device, "--socket", socket.string] + arguments,
      input: .same(STDIN_FILENO),
      output: .null)
    let deadline = ContinuousClock.now + .seconds(10)
    while !Self.listens(socket) {
      guard process.exitCode == nil, ContinuousClock.now < deadline else {
        stop()
        throw CommandError("the device process did not start; its messages are above.")
      }
      usleep(5000)
    }
  }

  deinit { stop() }

  /// Whether a process listens on the socket; nobody does on a stale socket of a killed process.
  private static func listens(_ path: FilePath) -> Bool {
    (try? MessageSocket(connectingTo: path)) != nil
  }

  /// Asks the process to end (SIGTERM), as a supervisor would.
  func stop() { process.terminate() }

  /// Kills the process (SIGKILL), as the kernel does when memory runs out.
  func kill() { process.kill() }
}

/// Runs `body` with a temporary directory.
func withDemoFolder(_ body: (FilePath) throws -> Void) throws {
  let folder = FilePath("/tmp/vfio-user-demo-\(getpid())")
  try FileManager.default.createDirectory(
    atPath: folder.string, withIntermediateDirectories: false)
  defer { try? FileManager.default.removeItem(atPath: folder.string) }
  try body(folder)
}

/// The program at the far end of the serial port's cable.
struct FarProgram {
  private let socket: MessageSocket
  private var stream: FileDescriptor { FileDescriptor(rawValue: socket.descriptor.number) }

  init(_ path: FilePath) throws {
    socket = try MessageSocket(connectingTo: path)
  }

  func send(_ bytes: [UInt8]) throws {
    try stream.writeAll(bytes)
  }

  func receive(_ count: Int) throws -> [UInt8] {
    var bytes: [UInt8] = []
    while bytes.count < count {
      var piece = [UInt8](repeating: 0, count: count - bytes.count)
      // Sound: the buffer is that of the array and valid during the call.
      let got = unsafe try piece.withUnsafeMutableBytes { unsafe try stream.read(into: $0) }
      guard got > 0 else { throw CommandError("the far end of the serial port was closed.") }
      bytes += piece[..<got]
    }
    return bytes
  }
}
