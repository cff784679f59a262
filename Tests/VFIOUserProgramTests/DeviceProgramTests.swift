import ArgumentParser
import Foundation
import Glibc
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserProgram

private let program = URL.builtProgram("ProgramUnderTest")

/// The program under test, running.
private final class RunningProgram {
  let scratch: ScratchFolder
  let process: ChildProcess
  let standardIO: ByteChannel
  var socket: String { scratch.path("device") }

  init(_ arguments: [String] = []) throws {
    scratch = try ScratchFolder()
    let (channel, theirs) = try ByteChannel.pair(name: "standard output")
    standardIO = channel
    process = try ChildProcess(
      program, ["--socket", scratch.path("device")] + arguments, standardIO: theirs,
      log: scratch.path("log"))
  }

  /// Waits for the socket and connects.
  func client() throws -> Client {
    let path = FilePath(socket)
    var client: Client?
    guard
      eventually({
        client = try? Client(connectingTo: path)
        return client != nil
      }), let client
    else { throw HarnessError(process.whatItSaid) }
    return client
  }

  func value() throws -> UInt32 { try client().load(.bar0, at: 0, as: UInt32.self) }
}

@Suite(.timeLimit(.minutes(1))) struct `A device program` {
  @Test func `A device program serves its device, made with the program's own options`() throws {
    let running = try RunningProgram(["--value", "4711"])
    #expect(try running.value() == 4711)
  }

  @Test func `A device program raises its soft limit of descriptors to the hard one`() throws {
    let scratch = try ScratchFolder()
    let process = try ChildProcess(
      URL(filePath: "/bin/bash"),
      [
        "-c", "ulimit -S -n 200 && ulimit -H -n 3000 && exec \"$0\" --socket \(scratch.path("s"))",
        program.path,
      ], log: scratch.path("log"))
    var limits: [Substring] = []
    #expect(
      eventually {
        let text = process.status(of: "limits")
        limits = text.split(separator: "\n").filter { $0.hasPrefix("Max open files") }
        return limits.first?.split(separator: " ").dropFirst(3).first == "3000"
      }, "\(limits)")
  }

  @Test func `A device program prints its notice and the option for QEMU when it is ready`() throws
  {
    let running = try RunningProgram()
    let device =
      #"{"driver":"vfio-user-pci","socket":{"type":"unix","path":"\#(running.socket)"}}"#
    let said = """
      the value is 7
      ProgramUnderTest is ready on \(running.socket): -device '\(device)'
      guest memory has to be shared: -object memory-backend-memfd,id=mem,size=512M,share=on -machine q35,memory-backend=mem

      """
    let bytes = try running.standardIO.exchange(
      receiving: said.utf8.count, within: .seconds(10))
    #expect(String(decoding: bytes, as: UTF8.self) == said)
  }

  @Test(arguments: [SIGTERM, SIGINT], [false, true])
  func `A device program closes its device and removes its socket at a signal, and ends with 0`(
    _ signal: Int32, hasClient: Bool
  ) throws {
    let running = try RunningProgram()
    let client = try running.client()
    if !hasClient { client.disconnect() }
    running.process.send(signal)
    #expect(try running.process.exitCode() == 0)
    #expect(!FileManager.default.fileExists(atPath: running.socket))
    try running.standardIO.receive(through: Array("closed\n".utf8), within: .seconds(10))
    client.disconnect()
  }

  @Test func `A device program passes SIGHUP to its device`() throws {
    let running = try RunningProgram()
    let client = try running.client()
    running.process.send(SIGHUP)
    #expect(
      eventually { (try? client.load(.bar0, at: 0, as: UInt32.self)) == 8 },
      "\(running.process.whatItSaid)")
    client.disconnect()
  }

  @Test func `A device program serves a socket that systemd hands over, and leaves it there`()
    throws
  {
    let scratch = try ScratchFolder()
    let listener = try ListeningSocket(path: FilePath(scratch.path("device")))
    let process = try ChildProcess(
      URL(filePath: "/bin/sh"),
      [
        "-c", "exec 3<&0 </dev/null >/dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" --value 9",
        program.path,
      ],
      standardIO: FileHandle(
        fileDescriptor: try listener.descriptor.duplicate().release(), closeOnDealloc: true),
      log: scratch.path("log"))
    let client = try Client(connectingTo: FilePath(scratch.path("device")))
    #expect(try client.load(.bar0, at: 0, as: UInt32.self) == 9)
    client.disconnect()
    process.send(SIGTERM)
    #expect(try process.exitCode() == 0)
    #expect(FileManager.default.fileExists(atPath: scratch.path("device")))
  }

  @Test(arguments: [("notice", false), ("info", true)])
  func `A device program logs clients that come and go from level info on`(
    _ level: String, isLogged: Bool
  ) throws {
    let running = try RunningProgram(["--log-level", level])
    try running.client().disconnect()
    // The next client is served when the first one is gone.
    #expect(try running.value() == 7)
    running.process.send(SIGTERM)
    #expect(try running.process.exitCode() == 0)
    let said = running.process.whatItSaid
    #expect(said.contains("a client connected") == isLogged, "\(said)")
    #expect(said.contains("the client is gone") == isLogged, "\(said)")
  }
}

@Suite(.timeLimit(.minutes(1))) struct `A device program that cannot serve` {
  @Test func `A device program reports that its socket is in use, and leaves it to its owner`()
    throws
  {
    let first = try RunningProgram()
    try first.client().disconnect()
    let second = try ProgramRun(program, ["--socket", first.socket])
    #expect(second.exitCode == 1)
    let said =
      "Error: \(first.socket) is in use: another process listens on it. Choose another path"
    #expect(second.errors.contains(said), "\(second.errors)")
    #expect(try first.value() == 7)
  }

  @Test(
    arguments: [
      ("", 64, "give the place of the socket, once: --socket PATH, --fd NUMBER or --systemd"),
      ("--socket /tmp/a --fd 3", 64, "once: --socket PATH, --fd NUMBER or --systemd"),
      ("--socket /tmp/a --mode 9", 64, "three octal digits"),
      ("--socket /tmp/a --log-level loud", 64, "'loud' is invalid"),
      ("--socket /tmp/a --memory-files none", 64, "'none' is invalid"),
      ("--socket /tmp/a --value 0", 64, "--value must not be 0"),
      ("--socket /tmp/a --value many", 64, "'many' is invalid"),
      ("--socket /tmp/a --valeu 3", 64, "Unknown option '--valeu'"),
      ("--socket /nonexistent/a", 1, "there is no folder /nonexistent"),
      ("--socket /etc/passwd", 1, "exists and is not a socket"),
      ("--systemd", 1, "systemd handed over no socket"),
      ("--fd 999", 1, "descriptor 999 is not open"),
    ] as [(String, Int32, String)])
  func `A device program reports why it cannot serve, with a fitting exit code`(
    _ line: String, _ exitCode: Int32, _ says: String
  ) throws {
    let run = try ProgramRun(program, line.split(separator: " ").map { String($0) })
    #expect(run.exitCode == exitCode)
    #expect(run.errors.contains(says), "\(run.errors)")
    #expect(run.output.isEmpty)
  }

  @Test func `A device program removes its socket when its device cannot be made`() throws {
    let scratch = try ScratchFolder()
    let run = try ProgramRun(program, ["--broken", "--socket", scratch.path("device")])
    #expect(run.exitCode == 1)
    #expect(run.errors.contains("No space left on device"), "\(run.errors)")
    #expect(!FileManager.default.fileExists(atPath: scratch.path("device")))
  }

  @Test(arguments: ["--help", "--version"])
  func `A device program fails when the help text cannot be written`(_ option: String) throws {
    let run = try ProgramRun(
      URL(filePath: "/bin/sh"), ["-c", "\"$0\" \(option) > /dev/full", program.path])
    #expect(run.exitCode == 1)
    #expect(run.errors.contains("No space left on device"), "\(run.errors)")
  }
}

/// A program that says nothing about itself.
private struct SilentProgram: DeviceProgram {
  func makeDevice() throws -> ServedDevice { throw CleanExit.message("") }
}

@Suite struct `The help of a device program` {
  @Test func `The help of a program without texts has the name by which it was started`() {
    let configuration = DeviceProgramCommand<SilentProgram>.configuration
    let name = URL(filePath: CommandLine.arguments[0]).lastPathComponent
    #expect(configuration.commandName == name)
    #expect(configuration.abstract.contains("Serve a PCI device on a UNIX socket"))
    #expect(
      configuration.version == "\(name), made with swift-vfio-user \(Program.libraryVersion)")
  }

  @Test func `The help has the author's text, the device's own options and those of every device`()
    throws
  {
    let help = try ProgramRun(program, ["--help"])
    #expect(help.exitCode == 0)
    for part in [
      "OVERVIEW: Serve one register.", "USAGE: ProgramUnderTest ", "--value",
      "What the register reads.",
      "--socket", "--fd", "--mode", "--systemd", "--systemd-name", "--memory-files", "--log-level",
      "--version",
    ] {
      #expect(help.text.contains(part), "\(part): \(help.text)")
    }
  }

  @Test func `The version is the author's`() throws {
    #expect(try ProgramRun(program, ["--version"]).text == "4.7.11\n")
  }
}
