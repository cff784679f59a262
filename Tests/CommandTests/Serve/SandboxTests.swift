import Foundation
import Glibc
import SystemCallFilter
import SystemPackage
import TestSupport
import Testing
import VFIOUserTransport

@Suite(.timeLimit(.minutes(1))) struct `The sandbox of serve` {
  private static let program = URL.builtProgram("vfio-user")

  @Test func `adds devices with files in folders that were allowed, and no others`() throws {
    let one = try ControlledProcess()
    let other = try ScratchFolder()
    let socket = one.scratch.path("disk")
    try one.succeed(
      "add", "nvme", "--socket", socket, "--file", one.scratch.path("a.img"), "--size", "1M")
    try one.succeed("resize", socket, "--size", "2M")
    try one.succeed("remove", socket)
    #expect(!FileManager.default.fileExists(atPath: socket))
    let refused = [
      ["--socket", socket, "--file", other.path("b.img"), "--size", "1M"],
      ["--socket", other.path("disk"), "--memory", "1M"],
    ]
    for arguments in refused {
      let run = try ProgramRun(Self.program, ["ctl", one.control, "add", "nvme"] + arguments)
      #expect(run.exitCode == 1 && run.errors.contains("--sandbox-allow"), "\(run.errors)")
    }
    // Nothing is left of those.
    try one.succeed("add", "nvme", "--socket", socket, "--memory", "1M")
  }

  @Test func `says what the kernel lacks, and in its strict form does not serve`() async {
    await #expect(processExitsWith: .success) {
      let scratch = try ScratchFolder()
      #expect(filter_refuse_landlock(ENOSYS) == 0)
      let run = try ProgramRun(
        URL.builtProgram("vfio-user"),
        ["serve", "edu", "--socket", scratch.path("a"), "--sandbox", "strict"])
      #expect(run.exitCode == 1)
      #expect(run.errors.contains("the sandbox would lack Landlock for files"), "\(run.errors)")
      let process = try ChildProcess(
        URL.builtProgram("vfio-user"), ["serve", "edu", "--socket", scratch.path("a")],
        log: scratch.path("log"))
      #expect(eventually { process.whatItSaid.contains("missing=Landlock for files") })
      process.send(SIGTERM)
      #expect(try process.exitCode() == 0)
      #expect(!FileManager.default.fileExists(atPath: scratch.path("a")))
    }
  }

  @Test func `has its level and its folders in a configuration file too`() throws {
    let scratch = try ScratchFolder()
    func start(_ text: String) throws -> String {
      let file = scratch.path("file")
      try "\(text)\n[[edu]]\nsocket = \"a\"\n".write(
        toFile: file, atomically: true, encoding: .utf8)
      let process = try ChildProcess(
        Self.program, ["serve", "--config", file], log: scratch.path("log"))
      let socket = FilePath(scratch.path("a"))
      guard eventually({ !process.isRunning || (try? MessageSocket(connectingTo: socket)) != nil }),
        process.isRunning
      else { return process.whatItSaid }
      defer { process.kill() }
      return try ProgramRun(Self.program, ["ctl", "\(process.processID)", "version"]).text
    }
    #expect(try start("sandbox = \"off\"").contains("sandbox: off"))
    #expect(
      try start("sandbox = \"strict\"\nsandbox-allow = [\".\"]").contains("sandbox: strict, "))
    #expect(try start("").contains("sandbox: on, Landlock ABI"))
    #expect(try start("sandbox = \"maybe\"").contains("line 1"))
    #expect(try start("sandbox-allow = \".\"").contains("it takes a list of texts"))
  }
}
