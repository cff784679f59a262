import Foundation
import TestSupport
import Testing

@Suite(
  .timeLimit(.minutes(2)), .enabled(if: NBDServer.isPossible, "\(NBDServer.remedy)"))
struct `An upgrade of a disk on an NBD export` {
  private func verify(_ process: UpgradableProcess, _ arguments: String...) throws {
    let run = try ProgramRun(
      UpgradableProcess.program,
      ["nvme", "verify", process.socket, "--size", "4M", "--seed", "4711"] + arguments)
    #expect(run.exitCode == 0, "\(run.errors)")
  }

  @Test func `Goes on with the export, also when the server is lost meanwhile`() throws {
    let server = try NBDServer.qemu(size: "16M", format: "raw")
    let process = try UpgradableProcess(
      "nvme", "--nbd", server.uri("disk"), "--state", server.folder.url.path)
    try verify(process, "--overwrite")
    try process.upgradeWell()
    try verify(process, "--read-only")
    server.kill()
    try process.upgradeWell()
    try server.start()
    try verify(process, "--read-only")
    #expect(process.process.isRunning)
  }
}
