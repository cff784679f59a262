import Foundation
import Glibc
import SystemPackage
import TestSupport
import VFIOUserClient
import VFIOUserProgram

/// `vfio-user serve --config` with devices in processes of their own, running.
///
/// Their folder can be written by any user.
final class SupervisedDevices {
  let scratch: ScratchFolder
  let process: ChildProcess
  let control: String

  static let program = URL.builtProgram("vfio-user")

  /// - Parameter configuration: the file below `isolation`.
  init(_ configuration: String) throws {
    let scratch = try Self.openFolder()
    self.scratch = scratch
    control = scratch.path("control")
    process = try Self.start(scratch, configuration)
    // It answers when its devices are ready.
    let control = control
    let isThere = eventually(within: .seconds(60)) { [process] in
      !process.isRunning || (try? ControlClient(path: control).call("version")) != nil
    }
    guard isThere, process.isRunning else { throw HarnessError(process.whatItSaid) }
  }

  deinit { process.kill() }

  /// A process that is not waited for.
  static func start(
    _ scratch: ScratchFolder, _ configuration: String
  ) throws -> ChildProcess {
    let file = scratch.path("devices.toml")
    try "isolation = \"process\"\n\(configuration)"
      .write(toFile: file, atomically: true, encoding: .utf8)
    return try ChildProcess(
      program, ["serve", "--config", file, "--control", scratch.path("control")],
      log: scratch.path("log"))
  }

  static func openFolder() throws -> ScratchFolder {
    let scratch = try ScratchFolder()
    try FileManager.default.setAttributes(
      [.posixPermissions: 0o1777], ofItemAtPath: scratch.url.path)
    return scratch
  }

  func path(_ name: String) -> String { scratch.path(name) }

  func client(_ socket: String) throws -> Client {
    try Client(connectingTo: FilePath(path(socket)))
  }

  /// `vfio-user ctl`.
  func ctl(_ arguments: String...) throws -> ProgramRun {
    try ProgramRun(Self.program, ["ctl", control] + arguments)
  }

  /// The devices with their processes.
  func list() throws -> [Listed] {
    let run = try ctl("list", "--json")
    guard run.exitCode == 0 else { throw HarnessError(run.errors) }
    return try run.decoded(List.self).devices
  }

  /// The process of a device; 0 while it has none.
  func process(of socket: String) throws -> Int32 {
    try list().first { $0.socket == path(socket) }?.process ?? 0
  }

  private struct List: Decodable { let devices: [Listed] }
  struct Listed: Decodable {
    let socket: String
    let process: Int32?
    let client: Int32?
    let notice: String?
  }
}

/// A file of a process in /proc as text, empty when there is none.
func processFile(_ name: String, of process: Int32) -> String {
  let file = try? FileHandle(forReadingFrom: URL(filePath: "/proc/\(process)/\(name)"))
  return String(decoding: (try? file?.readToEnd() ?? Data()) ?? Data(), as: UTF8.self)
}

/// Whether a process is there, and no mere zombie.
func isAlive(_ process: Int32) -> Bool {
  let status = processFile("status", of: process)
  return !status.isEmpty && !status.contains("State:\tZ")
}
