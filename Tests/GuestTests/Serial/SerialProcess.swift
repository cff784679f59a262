import Foundation
import TestSupport

/// `vfio-user serve serial`, running.
final class SerialProcess {
  /// Where the port's cable leads to.
  enum FarEnd {
    case socket, terminal, standardStreams
  }

  /// The socket of the far end, if that is one.
  let farSocket: String

  private let device: DeviceProcess
  private let farEnd: FarEnd

  var socket: String { device.socket }
  var process: ChildProcess { device.process }
  var whatItSaid: String { device.whatItSaid }

  /// Starts the program and waits until it listens.
  init(_ farEnd: FarEnd = .socket) throws {
    self.farEnd = farEnd
    let scratch = try ScratchFolder()
    farSocket = scratch.path("far")
    let options =
      switch farEnd {
      case .socket: ["--listen", farSocket]
      case .terminal: ["--pty"]
      case .standardStreams: ["--stdio"]
      }
    device = try DeviceProcess(
      ["serial"] + options, in: scratch, listeningAlso: farEnd == .socket ? [farSocket] : [])
  }

  func kill() { device.kill() }

  /// Connects to the port's far end.
  func connect() throws -> ByteChannel {
    switch farEnd {
    case .standardStreams:
      return device.standardIO
    case .terminal:
      let path = try Console(device.standardIO).lines(until: "/dev/pts/", within: .seconds(10)).rest
      return try ByteChannel(openingTerminal: "/dev/pts/\(path)")
    case .socket:
      return try ByteChannel(connectingTo: farSocket)
    }
  }
}
