import Foundation
import Glibc
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

/// `vfio-user serve`, started as systemd does it: with sockets as descriptors 3 and 4 that it has not made.
private final class Activated {
  private let process = Process()
  private let scratch: ScratchFolder
  let listeners: [ListeningSocket]

  /// Starts the program.
  ///
  /// - Parameters:
  ///   - line: what follows `serve`; `FILE` is the configuration.
  ///   - variables: of the environment; `$$` is the process.
  ///   - sockets: how many are handed over, one or two.
  ///   - configuration: the text of a file.
  init(
    _ line: String, _ variables: String = "", sockets: Int = 1, configuration: String = ""
  ) throws {
    scratch = try ScratchFolder()
    let folder = scratch
    listeners = try (0..<sockets).map { try ListeningSocket(path: FilePath(folder.path("\($0)"))) }
    let file = scratch.path("devices.toml")
    try configuration.write(toFile: file, atomically: true, encoding: .utf8)
    process.executableURL = URL(filePath: "/bin/sh")
    let arguments = line.replacing("FILE", with: file).split(separator: " ").map(String.init)
    process.arguments =
      [
        "-c", "exec 3<&0 4>&1 </dev/null >/dev/null; \(variables) exec \"$0\" serve \"$@\"",
        URL.builtProgram("vfio-user").path,
      ] + arguments
    process.standardInput = try Self.handle(listeners[0])
    process.standardOutput = try Self.handle(listeners[sockets - 1])
    _ = FileManager.default.createFile(atPath: scratch.path("log"), contents: nil)
    process.standardError = try FileHandle(forWritingTo: URL(filePath: scratch.path("log")))
    try process.runClosingFiles()
  }

  deinit { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }

  private static func handle(_ listener: ListeningSocket) throws -> FileHandle {
    FileHandle(
      fileDescriptor: try listener.descriptor.duplicate().release(), closeOnDealloc: true)
  }

  var whatItSaid: String {
    (try? String(contentsOfFile: scratch.path("log"), encoding: .utf8)) ?? ""
  }

  /// The device that answers at a socket; the kernel keeps the caller until the program accepts.
  func device(at number: Int) throws -> UInt16 {
    try Client(connectingTo: FilePath(scratch.path("\(number)")))
      .load(.configuration, at: 2, as: UInt16.self)
  }

  func exitCode() throws -> Int32 {
    let process = process
    try #require(eventually { !process.isRunning }, "\(whatItSaid)")
    return process.terminationStatus
  }

  func terminate() { process.terminate() }
}

private let edu: UInt16 = 0x11E8
private let scratch: UInt16 = 0x5C7C

@Suite struct `A socket-activated device` {
  @Test(arguments: [
    ("edu --fd 3", ""), ("edu --systemd", "LISTEN_FDS=1 LISTEN_PID=$$"),
    ("edu", "LISTEN_FDS=1 LISTEN_PID=$$"), ("edu --fd 3", "LISTEN_FDS=1 LISTEN_PID=$$"),
    ("edu --systemd-name disk", "LISTEN_FDS=1 LISTEN_PID=$$ LISTEN_FDNAMES=disk"),
    ("--config FILE", "LISTEN_FDS=1 LISTEN_PID=$$"),
  ])
  func `A socket-activated device serves its socket and does not remove it`(
    line: String, variables: String
  ) throws {
    let program = try Activated(line, variables, configuration: "[edu]\n")
    #expect(try program.device(at: 0) == edu, "\(program.whatItSaid)")
    program.terminate()
    #expect(try program.exitCode() == 0)
    let path = try #require(program.listeners[0].path)
    #expect(FileManager.default.fileExists(atPath: path.string))
  }

  @Test func `Several socket-activated devices find their sockets by name`() throws {
    let program = try Activated(
      "--config FILE", "LISTEN_FDS=2 LISTEN_PID=$$ LISTEN_FDNAMES=one:two", sockets: 2,
      configuration: """
        [edu]
        systemd-name = "two"
        [scratch]
        systemd-name = "one"
        """)
    #expect(try program.device(at: 0) == scratch)
    #expect(try program.device(at: 1) == edu)
  }

  @Test func `A socket-activated device reports a socket that no device uses`() throws {
    let program = try Activated(
      "edu --systemd-name two", "LISTEN_FDS=2 LISTEN_PID=$$ LISTEN_FDNAMES=one:two", sockets: 2)
    #expect(try program.device(at: 1) == edu)
    #expect(program.whatItSaid.contains("no device uses the socket 'one' (descriptor 3)"))
  }

  @Test(
    arguments: [
      ("edu --systemd", "LISTEN_FDS=1 LISTEN_PID=1", "handed its sockets to process 1, and this"),
      ("edu", "LISTEN_FDS=1 LISTEN_PID=1", "--socket PATH, --fd NUMBER or --systemd"),
      ("edu --systemd", "LISTEN_FDS=2 LISTEN_PID=$$", "2 sockets, '', '': say which"),
      (
        "edu --systemd-name c", "LISTEN_FDS=2 LISTEN_PID=$$ LISTEN_FDNAMES=a:b",
        "no socket 'c', but 'a', 'b'. FileDescriptorName="
      ),
      ("edu --systemd", "LISTEN_FDS=3 LISTEN_PID=$$", "descriptor 5 is not a listening"),
      ("edu --systemd", "exec 3</dev/null; LISTEN_FDS=1 LISTEN_PID=$$", "and Accept=no"),
      (
        "--config FILE", "LISTEN_FDS=2 LISTEN_PID=$$ LISTEN_FDNAMES=a:b",
        "devices.toml, line 1: [[edu]] number 1: systemd handed over no socket 'one', but 'a', 'b'"
      ),
    ] as [(String, String, String)])
  func `A wrong socket activation is reported with its remedy`(
    line: String, variables: String, says: String
  ) throws {
    let program = try Activated(
      line, variables, sockets: 2, configuration: "[edu]\nsystemd-name = \"one\"\n")
    #expect(try program.exitCode() != 0)
    #expect(program.whatItSaid.contains(says), "\(program.whatItSaid)")
  }

  @Test(arguments: ["edu --fd 3", "--config FILE"])
  func `A socket-activated device ends with an error when no more clients can be accepted`(
    line: String
  ) throws {
    let program = try Activated(line, configuration: "[edu]\nfd = 3\n")
    #expect(try program.device(at: 0) == edu)
    _ = shutdown(program.listeners[0].descriptor.number, Int32(SHUT_RDWR))
    #expect(try program.exitCode() == 1)
    #expect(
      program.whatItSaid.contains("descriptor 3: no more clients are accepted"),
      "\(program.whatItSaid)")
  }

  @Test func `Each line of the log names its device`() throws {
    let program = try Activated(
      "--config FILE", sockets: 2,
      configuration: "log-level = \"info\"\n[[edu]]\nfd = 3\n[[scratch]]\nfd = 4\n")
    #expect(try program.device(at: 1) == scratch)
    #expect(eventually { program.whatItSaid.contains("a client connected") })
    let lines = program.whatItSaid.split(separator: "\n").filter {
      !$0.contains("vfio-user.program")
    }
    #expect(
      !lines.isEmpty && lines.allSatisfy { $0.contains("device=[[scratch]] number 1") }, "\(lines)")
  }
}
