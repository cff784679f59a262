import Foundation
import Glibc
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

@testable import vfio_user

/// A device and a trace in front of it, each a process of its own.
private final class Traced {
  let folder: ScratchFolder
  let device: ChildProcess
  let trace: ChildProcess
  var socket: String { folder.path("traced") }

  init(_ arguments: [String] = ["--json"], device kind: String = "edu") throws {
    folder = try ScratchFolder()
    device = try ChildProcess(
      .builtProgram("vfio-user"), ["serve", kind, "--socket", folder.path("device")],
      log: folder.path("device.log"))
    _ = FileManager.default.createFile(atPath: folder.path("output"), contents: nil)
    let output = try FileHandle(forWritingTo: URL(filePath: folder.path("output")))
    trace = try ChildProcess(
      .builtProgram("vfio-user"),
      ["trace", "--listen", folder.path("traced"), "--connect", folder.path("device")] + arguments,
      standardIO: output, log: folder.path("trace.log"))
    for name in ["device", "traced"] {
      guard eventually({ isListening(on: folder.path(name)) }) else {
        throw HarnessError("no \(name)\n\(device.whatItSaid)\n\(trace.whatItSaid)")
      }
    }
  }

  var output: String { (try? String(contentsOfFile: folder.path("output"), encoding: .utf8)) ?? "" }
  var lines: [Substring] { output.split(separator: "\n") }

  /// Asks for the identity of the device, and goes.
  func ask() throws {
    let client = try Client(connectingTo: FilePath(socket))
    #expect(try client.load(.configuration, at: 0, as: UInt32.self) != 0)
    client.disconnect()
  }

  /// Ends the trace as Ctrl-C does.
  func finish() throws -> Int32 {
    trace.send(SIGINT)
    return try trace.exitCode()
  }
}

@Suite(.timeLimit(.minutes(2))) struct `vfio-user trace` {
  @Test func `Each message is a JSON object on a line`() throws {
    let traced = try Traced()
    try traced.ask()
    #expect(try traced.finish() == 0, "\(traced.trace.whatItSaid)")
    #expect(traced.trace.whatItSaid.contains("4 messages, 0 violations"))
    let objects = try traced.lines.map { line in
      try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
    }
    #expect(
      objects.map { $0["command"] as? String } == [
        "VERSION", "VERSION", "REGION_READ", "REGION_READ",
      ])
    #expect(
      objects.map { $0["direction"] as? String } == [
        "to-server", "to-client", "to-server", "to-client",
      ])
    let fields = try #require(objects[3]["fields"] as? [String: Any])
    #expect(fields["region"] as? String == "config" && fields["count"] as? Int == 4)
    let data = try #require(fields["data"] as? [String: Any])
    #expect(data["value"] as? UInt32 == 0x11E8_1234)
    #expect(objects[3]["latency_ns"] is Int && objects[2]["latency_ns"] == nil)
  }

  @Test func `Lines and a table are for eyes`() throws {
    let traced = try Traced([])
    try traced.ask()
    #expect(try traced.finish() == 0)
    #expect(
      traced.output.contains(
        "-> #2 REGION_READ  region config, offset 0x0, register vendor ID+device ID, count 4"))
    #expect(!traced.output.contains("\u{1B}"))
    let table = try Traced(["--summary"])
    try table.ask()
    #expect(try table.finish() == 0)
    #expect(table.lines.first?.contains("command") == true)
    #expect(table.lines.contains { $0.contains("REGION_READ") && $0.contains(" 1 ") })
  }

  @Test(arguments: [
    (["--command", "region_read"], 2), (["--region", "config"], 2), (["--region", "bar0"], 0),
    (["--direction", "to-client"], 2), (["--violations"], 0),
    (["--command", "version,9", "--direction", "to-server"], 2),
  ])
  func `Filters choose what is shown, not what is recorded`(arguments: [String], count: Int) throws
  {
    let traced = try Traced(["--json", "--write", "/dev/null"] + arguments)
    try traced.ask()
    #expect(try traced.finish() == 0)
    #expect(traced.lines.count == count)
    #expect(traced.trace.whatItSaid.contains("4 messages, 0 violations"))
  }

  @Test func `A recording is shown again, with the same filters`() throws {
    let folder = try ScratchFolder()
    let file = folder.path("a.pcapng")
    let traced = try Traced(["--json", "--write", file])
    try traced.ask()
    #expect(try traced.finish() == 0)
    let program = URL.builtProgram("vfio-user")
    let again = try ProgramRun(program, ["trace", file, "--json"])
    #expect(again.exitCode == 0 && again.text == traced.output)
    let some = try ProgramRun(program, ["trace", file, "--command", "version"])
    #expect(some.text.split(separator: "\n").count == 2)
  }

  @Test func `A recording that was cut is shown as far as it goes, and that is said`() throws {
    let folder = try ScratchFolder()
    let file = folder.path("a.pcapng")
    let traced = try Traced(["--write", file])
    try traced.ask()
    #expect(try traced.finish() == 0)
    let bytes = try Data(contentsOf: URL(filePath: file))
    try bytes.dropLast(10).write(to: URL(filePath: file))
    let run = try ProgramRun(.builtProgram("vfio-user"), ["trace", file, "--json"])
    #expect(run.exitCode == 1 && run.text.split(separator: "\n").count == 3)
    #expect(run.errors.contains("the file is cut"))
  }

  @Test func `A recording is replaced only with --overwrite`() throws {
    let folder = try ScratchFolder()
    let file = folder.path("a.pcapng")
    try Data("precious".utf8).write(to: URL(filePath: file))
    let refused = try ProgramRun(
      .builtProgram("vfio-user"),
      ["trace", "--listen", folder.path("a"), "--connect", folder.path("b"), "--write", file])
    #expect(refused.exitCode == 1 && refused.errors.contains("replace it with --overwrite"))
    #expect(try Data(contentsOf: URL(filePath: file)) == Data("precious".utf8))
    #expect(!FileManager.default.fileExists(atPath: folder.path("a")))
    let traced = try Traced(["--json", "--write", file, "--overwrite"])
    try traced.ask()
    #expect(try traced.finish() == 0)
    #expect(try ProgramRun(.builtProgram("vfio-user"), ["trace", file]).exitCode == 0)
  }

  @Test func `A trace that cannot listen leaves the recording as it is`() throws {
    let folder = try ScratchFolder()
    let file = folder.path("a.pcapng")
    try Data("precious".utf8).write(to: URL(filePath: file))
    let run = try ProgramRun(
      .builtProgram("vfio-user"),
      ["trace", "--listen", file, "--connect", "/tmp/b", "--write", file, "--overwrite"])
    #expect(run.exitCode == 1 && run.errors.contains("not a socket"), "\(run.errors)")
    #expect(try Data(contentsOf: URL(filePath: file)) == Data("precious".utf8))
  }

  @Test(arguments: [true, false])
  func `A server that is not there yet is said at once`(isThere: Bool) throws {
    let folder = try ScratchFolder()
    let server = folder.path("server")
    if isThere { _ = FileManager.default.createFile(atPath: server, contents: nil) }
    let trace = try ChildProcess(
      .builtProgram("vfio-user"),
      ["trace", "--listen", folder.path("traced"), "--connect", server],
      log: folder.path("trace.log"))
    #expect(eventually { trace.whatItSaid.contains("tracing:") })
    trace.send(SIGINT)
    #expect(try trace.exitCode() == 0)
    #expect(trace.whatItSaid.contains("there is no server at \(server) yet") == !isThere)
  }

  @Test func `A trace ends with its client when it is told so`() throws {
    let traced = try Traced(["--once"])
    try traced.ask()
    #expect(try traced.trace.exitCode() == 0)
    #expect(traced.output.contains("closed by the client"))
    #expect(!FileManager.default.fileExists(atPath: traced.socket))
  }

  @Test func `One client comes after the other`() throws {
    let traced = try Traced(["--json"])
    for _ in 0..<3 { try traced.ask() }
    #expect(try traced.finish() == 0)
    #expect(traced.trace.whatItSaid.contains("12 messages, 0 violations"))
    #expect(traced.lines.last?.contains(#""connection":3"#) == true)
  }

  /// As a full disk does, a pipe that nobody reads any more fails the next write.
  @Test func `A recording that fails is said, and forwarding goes on`() throws {
    let folder = try ScratchFolder()
    let path = folder.path("pipe")
    #expect(unsafe mkfifo(path, 0o600) == 0)
    let reader = try FileDescriptor.open(FilePath(path), .readOnly, options: [.nonBlocking])
    let traced = try Traced(["--json", "--write", path])
    try traced.ask()
    try reader.close()
    try traced.ask()
    #expect(eventually { traced.trace.whatItSaid.contains("the recording ends here") })
    try traced.ask()
    #expect(try traced.finish() == 1)
    #expect(traced.lines.count == 12)
    #expect(traced.trace.whatItSaid.contains("the recording is not complete"))
  }

  @Test func `A device that dies is said, and what was there is kept`() throws {
    let traced = try Traced([])
    let client = try Client(connectingTo: FilePath(traced.socket))
    _ = try client.load(.configuration, at: 0, as: UInt32.self)
    traced.device.kill()
    #expect(eventually { traced.output.contains("closed by the server") })
    #expect(throws: (any Error).self) { try client.load(.configuration, at: 0, as: UInt32.self) }
    #expect(try traced.finish() == 0)
  }

  @Test func `The dissector is installed where Wireshark looks for it`() throws {
    let folder = try ScratchFolder()
    let run = try ProgramRun(
      URL(filePath: "/usr/bin/env"),
      [
        "HOME=\(folder.path(""))", URL.builtProgram("vfio-user").path, "trace",
        "--install-dissector",
      ])
    #expect(run.exitCode == 0)
    let file = folder.path(".local/lib/wireshark/plugins/vfio-user.lua")
    #expect(try String(contentsOfFile: file, encoding: .utf8) == Dissector.source)
  }
}
