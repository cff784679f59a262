import Foundation
import TestSupport
import VFIOUserTransport

/// `vfio-user serve ...`, running.
final class DeviceProcess {
  /// Where QEMU connects to.
  let socket: String
  let process: ChildProcess
  /// The host's end of its standard input and output.
  let standardIO: ByteChannel
  var whatItSaid: String { process.whatItSaid }

  private let scratch: ScratchFolder

  /// Starts the program and waits until it listens.
  ///
  /// - Parameters:
  ///   - arguments: what follows `serve`, without the socket.
  ///   - scratch: where socket and log are.
  ///   - socketName: its name there.
  ///   - listeningAlso: other sockets of it that have to be there.
  init(
    _ arguments: [String], in scratch: ScratchFolder? = nil, socketName: String = "device",
    listeningAlso others: [String] = []
  ) throws {
    self.scratch = try scratch ?? ScratchFolder()
    socket = self.scratch.path(socketName)
    let (channel, theirs) = try ByteChannel.pair(name: "standard streams of vfio-user")
    standardIO = channel
    process = try ChildProcess(
      GuestEnvironment.program,
      ["serve"] + arguments + ["--socket", socket, "--log-level", "info"],
      standardIO: theirs, log: self.scratch.path("\(socketName).log"))
    let sockets = [socket] + others
    guard eventually({ sockets.allSatisfy(Self.isListening) || !process.isRunning }),
      process.isRunning
    else {
      throw HarnessFailure("vfio-user does not listen.\n\(process.whatItSaid)")
    }
  }

  func kill() { process.kill() }

  /// Whether somebody listens on a socket; asking the kernel does not disturb him.
  private static func isListening(_ path: String) -> Bool {
    let accepting = "00010000"  // The flag __SO_ACCEPTCON
    let table = (try? String(contentsOfFile: "/proc/net/unix", encoding: .utf8)) ?? ""
    return table.split(separator: "\n").contains {
      let fields = $0.split(separator: " ")
      return fields.count >= 8 && fields[3] == accepting && fields[7] == path
    }
  }
}
