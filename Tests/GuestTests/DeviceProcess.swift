import Foundation
import TestSupport
import VFIOUserTransport

/// `vfio-user serve serial`, running.
final class DeviceProcess {
  /// Where the port's cable leads to.
  enum FarEnd {
    case socket, terminal, standardStreams
  }

  /// Where QEMU connects to.
  let socket: String
  let process: ChildProcess
  var whatItSaid: String { process.whatItSaid }

  private let farEnd: FarEnd
  private let standardIO: ByteChannel
  private let scratch: ScratchFolder

  /// The socket of the far end, if that is one.
  var farSocket: String { scratch.path("far") }

  /// Starts the program and waits until it listens.
  init(_ farEnd: FarEnd = .socket) throws {
    self.farEnd = farEnd
    scratch = try ScratchFolder()
    socket = scratch.path("device")
    var arguments = ["serve", "serial", "--socket", socket, "--log-level", "info"]
    switch farEnd {
    case .socket: arguments += ["--listen", scratch.path("far")]
    case .terminal: arguments += ["--pty"]
    case .standardStreams: arguments += ["--stdio"]
    }
    let (channel, theirs) = try ByteChannel.pair(name: "standard streams of vfio-user")
    standardIO = channel
    process = try ChildProcess(
      GuestEnvironment.program, arguments, standardIO: theirs, log: scratch.path("device.log"))
    let sockets = [socket] + (farEnd == .socket ? [farSocket] : [])
    guard eventually({ sockets.allSatisfy(Self.isListening) || !process.isRunning }),
      process.isRunning
    else {
      throw HarnessFailure("vfio-user does not listen.\n\(process.whatItSaid)")
    }
  }

  func kill() { process.kill() }

  /// Connects to the port's far end.
  func connect() throws -> ByteChannel {
    switch farEnd {
    case .standardStreams:
      return standardIO
    case .terminal:
      let path = try Console(standardIO).lines(until: "/dev/pts/", within: .seconds(10)).rest
      return try ByteChannel(openingTerminal: "/dev/pts/\(path)")
    case .socket:
      return try ByteChannel(connectingTo: farSocket)
    }
  }

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
