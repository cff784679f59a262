import Foundation
import SystemPackage
import TestSupport
import Testing
import VFIOUserTransport

/// `vfio-user serve --control`, running.
final class ControlledProcess {
  let scratch: ScratchFolder
  let process: ChildProcess
  let control: String

  static let program = URL.builtProgram("vfio-user")

  init(_ arguments: String...) throws {
    scratch = try ScratchFolder()
    control = scratch.path("control")
    process = try ChildProcess(
      Self.program,
      ["serve"] + arguments + ["--control", control, "--sandbox-allow", scratch.url.path],
      log: scratch.path("log"))
    let control = control
    // The file is there before the program listens.
    guard eventually({ (try? MessageSocket(connectingTo: FilePath(control))) != nil }) else {
      throw HarnessError(process.whatItSaid)
    }
  }

  deinit { process.kill() }

  /// `vfio-user ctl`.
  func ctl(_ arguments: String...) throws -> ProgramRun {
    try ProgramRun(Self.program, ["ctl", control] + arguments)
  }

  /// `vfio-user ctl`, which has to succeed.
  @discardableResult
  func succeed(_ arguments: String...) throws -> String {
    let run = try ProgramRun(Self.program, ["ctl", control] + arguments)
    guard run.exitCode == 0 else { throw HarnessError("\(arguments): \(run.errors)") }
    return run.text
  }
}
