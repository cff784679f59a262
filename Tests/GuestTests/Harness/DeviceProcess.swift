import Foundation
import TestSupport
import VFIOUserTransport

/// `vfio-user serve ...`, running.
final class DeviceProcess {
  /// Where QEMU connects to; the first place of several.
  var socket: String { sockets[0] }
  /// One for each device.
  let sockets: [String]
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
    sockets = [self.scratch.path(socketName)]
    (process, standardIO) = try Self.start(
      arguments + ["--socket", sockets[0], "--log-level", "info"],
      log: self.scratch.path("\(socketName).log"))
    try awaitSockets(sockets + others)
  }

  /// Starts the program with a configuration file and waits until it listens.
  ///
  /// - Parameters:
  ///   - configuration: the text of the file.
  ///   - names: the sockets that it makes in the folder.
  ///   - scratch: where all paths of the file are.
  init(configuration: String, sockets names: [String], in scratch: ScratchFolder) throws {
    self.scratch = scratch
    sockets = names.map(scratch.path)
    let file = scratch.path("devices.toml")
    try configuration.write(toFile: file, atomically: true, encoding: .utf8)
    (process, standardIO) = try Self.start(
      ["--config", file], log: scratch.path("devices.log"))
    try awaitSockets(sockets)
  }

  private static func start(
    _ arguments: [String], log: String
  ) throws -> (ChildProcess, ByteChannel) {
    let (channel, theirs) = try ByteChannel.pair(name: "standard streams of vfio-user")
    let process = try ChildProcess(
      GuestEnvironment.program, ["serve"] + arguments, standardIO: theirs, log: log)
    return (process, channel)
  }

  private func awaitSockets(_ sockets: [String]) throws {
    guard eventually({ sockets.allSatisfy(isListening(on:)) || !process.isRunning }),
      process.isRunning
    else {
      let missing = sockets.filter { !isListening(on: $0) }.joined(separator: ", ")
      throw HarnessError("vfio-user does not listen on \(missing).\n\(process.whatItSaid)")
    }
  }

  func kill() { process.kill() }
}
