import Foundation
import SystemPackage
import TestSupport
import Testing
import VFIOUserTransport

/// `vfio-user check`, as its users run it.
@Suite(.timeLimit(.minutes(2))) struct `The command check` {
  private struct Report: Decodable {
    struct Summary: Decodable { let pass, fail, differs, skip: Int }
    let summary: Summary
  }

  private static let program = URL.builtProgram("vfio-user")

  /// A device of ours, until the end of `body`.
  private func serving(_ device: [String], _ body: (String) throws -> Void) throws {
    let folder = try ScratchFolder()
    let socket = folder.path("device")
    let process = try ChildProcess(
      Self.program, ["serve"] + device + ["--socket", socket], log: folder.path("log"))
    #expect(eventually { FileManager.default.fileExists(atPath: socket) })
    try body(socket)
    #expect(process.isRunning, "\(process.whatItSaid)")
  }

  @Test(arguments: [["scratch"], ["edu"], ["serial", "--pty"], ["nvme", "--memory", "16M"]])
  func `Each of our devices passes`(device: [String]) throws {
    try serving(device) { socket in
      for options in [["--json"], ["--json", "--destructive", "--timeout", "20"]] {
        let run = try ProgramRun(Self.program, ["check", socket] + options)
        let summary = try run.decoded(Report.self).summary
        #expect(run.exitCode == 0, "\(run.text)")
        #expect(summary.fail == 0 && summary.differs == 0 && summary.pass >= 150)
      }
    }
  }

  @Test func `Something that fails is the exit code, and stands in JUnit's file`() throws {
    let folder = try ScratchFolder()
    let listener = try ListeningSocket(path: FilePath(folder.path("mute")))
    defer { listener.remove() }
    let file = folder.path("results.xml")
    let run = try ProgramRun(
      Self.program,
      ["check", folder.path("mute"), "--only", "101", "--timeout", "0.2", "--junit", file])
    #expect(run.exitCode == 1)
    #expect(run.text.contains("fail     101 framing") && run.text.contains("0 passed, 1 failed"))
    #expect(run.text.contains("milliseconds"), "\(run.text)")
    let text = try String(contentsOfFile: file, encoding: .utf8)
    #expect(text.contains("<failure message="))
  }

  @Test(arguments: [(["nvme", "--memory", "16M"], true), (["edu"], false)])
  func `What is not checked of an NVMe controller is said`(device: [String], isSaid: Bool) throws {
    try serving(device) { socket in
      let run = try ProgramRun(Self.program, ["check", socket, "--only", "info"])
      #expect(run.exitCode == 0)
      #expect(run.text.contains("vfio-user nvme identify \(socket)") == isSaid, "\(run.text)")
    }
  }

  @Test func `A server that ends with its client is started again`() throws {
    let folder = try ScratchFolder()
    let socket = folder.path("device")
    let run = try ProgramRun(
      Self.program,
      [
        "check", socket, "--only", "framing", "--", Self.program.path, "serve", "edu", "--socket",
        "{}",
      ])
    #expect(run.exitCode == 0, "\(run.text)\(run.errors)")
  }

  @Test func `A client is started for each scenario`() throws {
    let folder = try ScratchFolder()
    let run = try ProgramRun(
      Self.program,
      [
        "check", "--client", "--listen", folder.path("listen"), "--only", "requests,version",
        "--json", "--", Self.program.path, "info", "{}",
      ])
    let summary = try run.decoded(Report.self).summary
    #expect(run.exitCode == 0, "\(run.text)\(run.errors)")
    #expect(summary.pass >= 15 && summary.fail == 0)
  }

  @Test func `The list has all checks and runs none`() throws {
    let servers = try ProgramRun(Self.program, ["check", "--list"])
    #expect(servers.exitCode == 0 && servers.text.hasSuffix("288 checks.\n"))
    let clients = try ProgramRun(Self.program, ["check", "--list", "--client", "--only", "memory"])
    #expect(clients.text.contains("2201 memory: DMA_MAP has 32 bytes"))
  }

  @Test(arguments: [
    ("", 64, "say which server"), ("/tmp/vfio-user-nowhere", 1, "Start the server first"),
    ("/tmp/a --only (", 64, "neither a number"), ("/tmp/a --only 99999", 64, "chooses no check"),
    ("/tmp/a --timeout 0", 64, "0.1 to 3600 seconds"), ("--client /tmp/a", 64, "--listen SOCKET"),
    ("--client --listen /tmp/a", 64, "its command behind --"),
    ("/tmp/a --listen /tmp/b", 64, "add --client"),
    ("--client --listen /tmp/vfio-user-c -- /nonexistent/client", 1, "no program"),
    ("--client --listen /tmp/vfio-user-c --timeout 0.3 -- /bin/true", 1, "did not connect"),
    ("/tmp/vfio-user-c -- /bin/false", 1, "the server"),
  ])
  func `A wrong command line is answered with cause and remedy`(
    line: String, exitCode: Int32, says: String
  ) throws {
    let arguments = line.split(separator: " ").map(String.init)
    let run = try ProgramRun(Self.program, ["check"] + arguments)
    #expect(run.exitCode == exitCode)
    #expect(run.errors.contains(says), "\(run.errors)")
  }
}
