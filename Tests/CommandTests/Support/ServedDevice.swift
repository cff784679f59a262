import Foundation
import SystemPackage
import TestSupport
import VFIOUserTransport

/// `vfio-user serve ...` in a process of its own, for commands that connect to it.
final class ServedProcess {
  let socket: String
  let process: ChildProcess
  private let folder: ScratchFolder

  /// Starts the program and waits until it listens.
  init(_ arguments: [String]) throws {
    folder = try ScratchFolder()
    socket = folder.path("device")
    process = try ChildProcess(
      .builtProgram("vfio-user"), ["serve"] + arguments + ["--socket", socket],
      log: folder.path("log"))
    let path = FilePath(socket)
    guard eventually({ (try? MessageSocket(connectingTo: path)) != nil }) else {
      throw HarnessError("vfio-user does not listen on \(socket).\n\(process.whatItSaid)")
    }
  }

  /// Runs a command of the program on the device.
  ///
  /// - Parameter input: the path of what becomes its standard input.
  func run(_ command: String, _ arguments: String..., input: String? = nil) throws -> ProgramRun {
    try ProgramRun(
      .builtProgram("vfio-user"), [command, socket] + arguments, input: input,
      within: .seconds(30))
  }

  /// The path of a file in a folder of its own.
  func path(_ name: String) -> String { folder.path(name) }

  deinit { process.kill() }
}
