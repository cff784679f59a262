import Foundation
import Glibc
import TestSupport
import Testing

/// A program that serves devices, running, whose program is replaced.
final class UpgradableProcess {
  let scratch: ScratchFolder
  let process: ChildProcess
  let sockets: [String]
  let standardIO: ByteChannel
  var socket: String { sockets[0] }

  static let program = URL.builtProgram("vfio-user")
  /// A program with one register, which can be told to fail.
  static let other = URL.builtProgram("ProgramUnderTest")

  /// `vfio-user serve` with these arguments and a socket.
  convenience init(_ arguments: String...) throws {
    try self.init(Self.program, ["serve"] + arguments, ScratchFolder())
  }

  /// A program with these arguments and a socket.
  init(_ program: URL, _ arguments: [String], _ scratch: ScratchFolder) throws {
    self.scratch = scratch
    sockets = [scratch.path("device")]
    (process, standardIO) = try Self.start(
      program, arguments + ["--socket", sockets[0]], scratch)
    try awaitSockets()
  }

  /// `vfio-user serve` with a configuration file.
  init(configuration: String, sockets names: [String]) throws {
    scratch = try ScratchFolder()
    sockets = names.map(scratch.path)
    let file = scratch.path("devices.toml")
    try configuration.write(toFile: file, atomically: true, encoding: .utf8)
    (process, standardIO) = try Self.start(Self.program, ["serve", "--config", file], scratch)
    try awaitSockets()
  }

  private static func start(
    _ program: URL, _ arguments: [String], _ scratch: ScratchFolder
  ) throws -> (ChildProcess, ByteChannel) {
    let (channel, theirs) = try ByteChannel.pair(name: "standard output")
    return (
      try ChildProcess(program, arguments, standardIO: theirs, log: scratch.path("log")), channel
    )
  }

  private func awaitSockets() throws {
    guard
      eventually({
        !process.isRunning || sockets.allSatisfy { FileManager.default.fileExists(atPath: $0) }
      }), process.isRunning
    else { throw HarnessError(process.whatItSaid) }
    // The control socket is there when the announcement is printed.
    try standardIO.receive(through: Array("memory-backend=mem\n".utf8), within: .seconds(10))
  }

  /// Replaces the program by a file, else by its own.
  @discardableResult
  func upgrade(to program: String? = nil) throws -> ProgramRun {
    try ProgramRun(
      Self.program,
      ["upgrade", "--pid", "\(process.processID)"] + (program.map { ["--program", $0] } ?? []))
  }

  /// Replaces the program by its own, which has to succeed.
  func upgradeWell() throws {
    let run = try upgrade()
    guard run.exitCode == 0 else {
      throw HarnessError("\(run.exitCode): \(run.errors)\n\(process.whatItSaid)")
    }
  }

  /// Makes an executable script.
  func script(_ name: String, _ text: String) throws -> String {
    let path = scratch.path(name)
    try "#!/bin/sh\n\(text)\n".write(toFile: path, atomically: true, encoding: .utf8)
    try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path)
    return path
  }
}
