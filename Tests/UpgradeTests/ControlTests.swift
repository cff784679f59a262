import Foundation
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProgram

@Suite(.timeLimit(.minutes(2))) struct `A process whose devices have changed, upgraded` {
  private func ctl(_ one: UpgradableProcess, _ arguments: String...) throws -> String {
    let run = try ProgramRun(
      UpgradableProcess.program, ["ctl", "\(one.process.processID)"] + arguments)
    guard run.exitCode == 0 else { throw HarnessError(run.errors) }
    return run.text
  }

  @Test
  func `Devices that were added stay with their clients, and one that was removed stays away`()
    throws
  {
    let one = try UpgradableProcess(
      configuration:
        "sandbox-allow = [\".\"]\n[[edu]]\nsocket = \"first\"\n[[scratch]]\nsocket = \"second\"\n",
      sockets: ["first", "second"])
    let added = one.scratch.path("added")
    _ = try ctl(one, "add", "scratch", "--socket", added)
    _ = try ctl(one, "remove", one.sockets[1])
    _ = try ctl(one, "log-level", "debug")
    let list = try ctl(one, "list")
    let client = try Client(connectingTo: FilePath(added))
    try client.write(.bar1, at: 0, from: [1, 2, 3])
    for _ in 0..<2 {
      try one.upgradeWell()
      #expect(try client.read(.bar1, at: 0, count: 3) == [1, 2, 3])
      #expect(try ctl(one, "log-level") == "debug\n")
    }
    client.disconnect()
    #expect(eventually { (try? ctl(one, "list")) == list })
    // Of this process, which was a client, before the upgrades and no more since.
    try one.upgradeWell()
    let caller = try ControlClient(process: one.process.processID)
    #expect(throws: CommandError.self) {
      try caller.call("log-level", .object(["level": .text("error")]))
    }
    _ = try ctl(one, "add", "edu", "--socket", one.sockets[1])
    try one.upgradeWell()
    _ = try Client(connectingTo: FilePath(one.sockets[1])).deviceInfo()
    _ = try ctl(one, "remove", added)
    try one.upgradeWell()
    #expect(!FileManager.default.fileExists(atPath: added))
  }

  @Test func `Rate limits that were changed stay, whatever the command line says`() throws {
    let one = try UpgradableProcess("nvme", "--memory", "1M", "--limit-ops", "1000")
    _ = try ctl(one, "limits", one.socket, "--ops", "2000/7000", "--read-bytes", "1M")
    let shown = try ctl(one, "limits", one.socket).split(separator: "\n").filter {
      $0.contains("per second")
    }
    #expect(shown.count == 2 && shown[0].contains("7000"), "\(shown)")
    for _ in 0..<2 {
      try one.upgradeWell()
      let now = try ctl(one, "limits", one.socket).split(separator: "\n").filter {
        $0.contains("per second")
      }
      #expect(now == shown)
    }
  }

  @Test func `A control socket with a path stays, and a program that fails changes nothing`() throws
  {
    let scratch = try ScratchFolder()
    let control = scratch.path("control")
    let one = try UpgradableProcess(
      "edu", "--control", control, "--sandbox-allow", scratch.url.path)
    let added = scratch.path("added")
    func ask(_ arguments: String...) throws -> String {
      let run = try ProgramRun(UpgradableProcess.program, ["ctl", control] + arguments)
      guard run.exitCode == 0 else { throw HarnessError(run.errors) }
      return run.text
    }
    _ = try ask("add", "edu", "--socket", added)
    let list = try ask("list")
    let bad = try one.script("bad", "exit 3")
    #expect(try one.upgrade(to: bad).exitCode == 1)
    #expect(try ask("list") == list)
    try one.upgradeWell()
    #expect(try ask("list") == list)
    #expect(try ask("version").contains("upgraded 1 times"))
  }

  @Test func `A program with a device of its own can be asked, and takes no other device`() throws {
    let scratch = try ScratchFolder()
    let control = scratch.path("control")
    let one = try UpgradableProcess(
      UpgradableProcess.other, ["--control", control], scratch)
    func ask(_ arguments: String...) throws -> ProgramRun {
      try ProgramRun(UpgradableProcess.program, ["ctl", control] + arguments)
    }
    #expect(try ask("list").text.contains(one.socket))
    #expect(try ask("stats").exitCode == 0)
    #expect(try ask("log-level", "info").exitCode == 0)
    for arguments in [["add", "edu", "--socket", scratch.path("edu")], ["configuration"]] {
      let run = try ProgramRun(UpgradableProcess.program, ["ctl", control] + arguments)
      #expect(run.exitCode == 1 && run.errors.contains("a device of its own"), "\(run.errors)")
    }
    try one.upgradeWell()
    #expect(try ask("list").text.contains(one.socket))
  }
}
