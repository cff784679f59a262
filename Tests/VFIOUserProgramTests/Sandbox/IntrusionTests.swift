import Foundation
import Glibc
import Intrusions
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserTransport

/// What there is to attack: a process, a port, a socket, and files beside the device's own.
private final class Surroundings {
  let scratch: ScratchFolder
  let neighbour: ChildProcess
  private let listener: Int32
  private let socket: ListeningSocket
  let port: UInt16

  init() throws {
    scratch = try ScratchFolder()
    for name in ["own", "other", "spare"] {
      try Data("data".utf8).write(to: URL(filePath: scratch.path(name)))
    }
    neighbour = try ChildProcess(
      URL(filePath: "/bin/sleep"), ["600"], log: scratch.path("neighbour.log"))
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let listener = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    // Sound: the address is lent for the calls.
    let result = unsafe withUnsafeMutablePointer(to: &address) { address in
      unsafe address.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        let bound = unsafe bind(listener, $0, size)
        return bound < 0 || listen(listener, 64) < 0 ? -1 : unsafe getsockname(listener, $0, &size)
      }
    }
    guard result == 0 else { throw HarnessError("no TCP port: \(errno)") }
    self.listener = listener
    port = UInt16(bigEndian: address.sin_port)
    socket = try ListeningSocket(path: FilePath(scratch.path("socket")))
  }

  deinit { close(listener) }

  /// Starts a device that has been broken into.
  func program(_ sandbox: String, _ more: [String] = []) throws -> ChildProcess {
    try ChildProcess(
      URL.builtProgram("ProgramUnderTest"),
      [
        "--socket", scratch.path("device"), "--sandbox", sandbox, "--intrude", scratch.url.path,
        "--neighbour", "\(neighbour.processID)", "--port", "\(port)", "--log-level", "info",
      ] + more, log: scratch.path("log"),
      // A refused call fails, as it does in life.
      environment: ["PATH": "/usr/bin:/bin"])
  }

  /// Waits for the device.
  func client(of program: ChildProcess) throws -> Client {
    var client: Client?
    guard
      eventually({
        client = try? Client(connectingTo: FilePath(scratch.path("device")))
        return client != nil
      }), let client
    else { throw HarnessError(program.whatItSaid) }
    return client
  }
}

extension Client {
  /// Has the device try something.
  fileprivate func attempt(_ number: Int32) throws -> Int32 {
    try store(UInt32(number), .bar0, at: 0)
    return Int32(try load(.bar0, at: 4, as: UInt32.self))
  }
}

@Suite(.timeLimit(.minutes(1))) struct `Somebody who has broken into the process` {
  @Test func `is refused everything that a device does not need`() throws {
    let surroundings = try Surroundings()
    let program = try surroundings.program("on")
    let client = try surroundings.client(of: program)
    #expect(intrusion_count() >= 60)
    for number in 0..<intrusion_count() {
      let name = unsafe String(cString: intrusion_name(number))
      let result = try client.attempt(number)
      #expect(result == intrusion_refusal(number), "\(name)")
    }
    #expect(program.isRunning)
    // The neighbours have noticed nothing.
    #expect(surroundings.neighbour.isRunning)
    #expect(
      try String(contentsOfFile: surroundings.scratch.path("other"), encoding: .utf8) == "data")
  }

  @Test(.enabled(if: geteuid() == 0, "only root may do all of it without a sandbox"))
  func `could do all of it without the sandbox, so that the table says something`() throws {
    let surroundings = try Surroundings()
    let program = try surroundings.program("off")
    let client = try surroundings.client(of: program)
    var succeeded = 0
    for number in 0..<intrusion_count() {
      let name = unsafe String(cString: intrusion_name(number))
      let result = try client.attempt(number)
      if result == 0 { succeeded += 1 }
      #expect(result != EPERM && result != EACCES, "\(name): \(result)")
    }
    // The others are harmless forms of what would stop the machine: another error than the sandbox's.
    #expect(succeeded >= 45)
  }

  @Test func `reaches the port that a device needs, and no other by another protocol or socket`()
    throws
  {
    let surroundings = try Surroundings()
    func attempt(_ names: [String], needing port: UInt16) throws -> [Int32] {
      let program = try surroundings.program("on", ["--needs", "\(port)"])
      let client = try surroundings.client(of: program)
      return try names.map { name in
        let number = try #require(
          (0..<intrusion_count()).first { unsafe String(cString: intrusion_name($0)) == name })
        return try client.attempt(number)
      }
    }
    let others = [
      "connect by MPTCP", "connect by SMC", "connect by a message", "connect to a UNIX socket",
    ]
    #expect(
      try attempt(["connect by TCP"] + others, needing: 1) == [EACCES, EPERM, EPERM, EPERM, EPERM])
    #expect(try attempt(["connect by TCP"], needing: surroundings.port) == [0])
  }

  @Test func `finds each refused system call in the log, once`() throws {
    let surroundings = try Surroundings()
    let program = try surroundings.program("on")
    let client = try surroundings.client(of: program)
    let chroot = try #require(
      (0..<intrusion_count()).first {
        unsafe String(cString: intrusion_name($0)) == "change the root"
      })
    for _ in 0..<3 { #expect(try client.attempt(chroot) == EPERM) }
    let lines = program.whatItSaid.split(separator: "\n").filter {
      $0.contains("refused system call 161 ")
    }
    #expect(lines.count == 1, "\(program.whatItSaid)")
  }
}
