import Foundation
import Glibc
import LinuxPrimitives
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserTransport

@Suite(.timeLimit(.minutes(2))) struct `A process with a control socket` {
  @Test func `A process that starts with no device serves what is added, and ends without a trace`()
    throws
  {
    // For the terminal of a serial port.
    let one = try ControlledProcess(
      "--sandbox-allow", "/dev/ptmx", "--sandbox-allow", "/dev/pts")
    #expect(try one.succeed("list") == "no devices\n")
    // No file has none.
    #expect(try one.ctl("configuration").exitCode == 1)
    let sockets = ["disk", "port", "edu"].map(one.scratch.path)
    let said = try one.succeed("add", "nvme", "--socket", sockets[0], "--memory", "1M")
    #expect(said.contains("-device"))
    #expect(try one.succeed("add", "serial", "--socket", sockets[1], "--pty").contains("/dev/pts"))
    try one.succeed(
      "call", "add", #"{"device": "edu", "options": {"socket": "\#(sockets[2])", "dma-mask": 40}}"#)
    for socket in sockets { _ = try Client(connectingTo: FilePath(socket)).deviceInfo() }
    let list = try one.succeed("list")
    for socket in sockets { #expect(list.contains(socket)) }
    one.process.send(SIGTERM)
    #expect(try one.process.exitCode() == 0)
    for path in sockets + [one.control] { #expect(!FileManager.default.fileExists(atPath: path)) }
  }

  @Test func `The socket is for its user alone`() throws {
    let one = try ControlledProcess()
    var info = stat()
    // Sound: string and structure are lent for the call.
    #expect(unsafe stat(one.control, &info) == 0)
    #expect(info.st_mode & 0o777 == 0o600)
  }

  @Test(arguments: [
    (["add", "edu"], "--socket"), (["add", "edu", "--socket", "SOCKET"], "taken"),
    (["add", "udu", "--socket", "x"], "'edu'"),
    (["add", "edu", "--socket", "x", "--color"], "--color"),
    (["add", "edu", "--socket", "x", "--log-level", "debug"], "for the process"),
    (["add", "edu", "--socket", "x", "--config=y"], "for the process"),
    (["add", "serial", "--socket", "x", "--stdio"], "--pty"),
    (["add", "edu", "--fd", "7"], "--socket"),
    (["add", "nvme", "--socket", "x", "--file", "/nowhere/x"], "/nowhere/x"),
    (["remove", "nowhere"], "SOCKET"), (["resize", "SOCKET", "--size", "1G"], "no size"),
    (["stats", "nowhere"], "no device"), (["log-level", "loud"], "critical"),
    (["call", "jump"], "configuration"),
  ])
  func `What cannot be done is refused with cause and remedy, and changes nothing`(
    arguments: [String], words: String
  ) throws {
    let one = try ControlledProcess("edu", "--socket", "/tmp/vfio-user-control-\(getpid())")
    defer { one.process.send(SIGTERM) }
    let socket = "/tmp/vfio-user-control-\(getpid())"
    let before = try one.succeed("list")
    let run = try ProgramRun(
      ControlledProcess.program,
      ["ctl", one.control] + arguments.map { $0 == "SOCKET" ? socket : $0 })
    #expect(run.exitCode == 1)
    #expect(run.errors.contains(words.replacing("SOCKET", with: socket)), "\(run.errors)")
    #expect(try one.succeed("list") == before)
    one.process.send(SIGTERM)
    #expect(try one.process.exitCode() == 0)
  }

  @Test func `A device with a client is removed by force only, and a neighbour does not notice`()
    throws
  {
    let one = try ControlledProcess()
    let (socket, other) = (one.scratch.path("edu"), one.scratch.path("other"))
    try one.succeed("add", "edu", "--socket", socket)
    try one.succeed("add", "edu", "--socket", other)
    let client = try Client(connectingTo: FilePath(socket))
    let neighbour = try Client(connectingTo: FilePath(other))
    let refusal = try one.ctl("remove", socket)
    #expect(refusal.exitCode == 1 && refusal.errors.contains("process \(getpid())"))
    _ = try client.deviceInfo()
    try one.succeed("remove", socket, "--force")
    #expect(throws: ClientError.self) { try client.deviceInfo() }
    #expect(!FileManager.default.fileExists(atPath: socket))
    _ = try neighbour.deviceInfo()
    try one.succeed("add", "edu", "--socket", socket)
    _ = try Client(connectingTo: FilePath(socket)).deviceInfo()
  }

  @Test func `A disk is made larger under its client, and never smaller`() throws {
    let one = try ControlledProcess()
    let (socket, file) = (one.scratch.path("disk"), one.scratch.path("image"))
    try one.succeed("add", "nvme", "--socket", socket, "--file", file, "--size", "1M")
    let client = try Client(connectingTo: FilePath(socket))
    _ = try client.deviceInfo()
    try one.succeed("resize", socket, "--size", "3M")
    let size = try FileManager.default.attributesOfItem(atPath: file)[.size] as? Int
    #expect(size == 3 << 20)
    #expect(eventually { one.process.whatItSaid.contains("another size") })
    let refusal = try one.ctl("resize", socket, "--size", "1M")
    #expect(refusal.exitCode == 1 && refusal.errors.contains("smaller"))
    #expect(try one.ctl("resize", socket, "--namespace", "2", "--size", "4M").exitCode == 1)
  }

  @Test func `A process that starts from what was written serves the same devices`() throws {
    let one = try ControlledProcess()
    let socket = one.scratch.path("disk")
    try one.succeed("add", "nvme", "--socket", socket, "--memory", "2M", "--serial", "ABC")
    let text = try one.succeed("configuration")
    one.process.send(SIGTERM)
    #expect(try one.process.exitCode() == 0)
    let file = one.scratch.path("devices.toml")
    try text.write(toFile: file, atomically: true, encoding: .utf8)
    let other = try ControlledProcess("--config", file)
    #expect(eventually { FileManager.default.fileExists(atPath: socket) })
    #expect(try other.succeed("configuration") == text)
  }

  @Test func `A caller that sends half a request and one that never reads hold up nobody`() throws {
    let one = try ControlledProcess("edu", "--socket", "/tmp/vfio-user-hung-\(getpid())")
    defer { one.process.send(SIGTERM) }
    let silent = try (0..<7).map { _ in
      try MessageSocket(connectingTo: FilePath(one.control))
    }
    for caller in silent { try caller.descriptor.put("{\"jsonrpc\"") }
    let began = ContinuousClock.now
    #expect(try one.succeed("list").contains("edu"))
    #expect(ContinuousClock.now - began < .seconds(4))
    _ = silent.count
  }

  @Test func `The log level changes while the process runs`() throws {
    let one = try ControlledProcess()
    #expect(try one.succeed("log-level") == "notice\n")
    #expect(try one.succeed("log-level", "debug") == "debug\n")
    let socket = one.scratch.path("edu")
    try one.succeed("add", "edu", "--socket", socket)
    _ = try Client(connectingTo: FilePath(socket)).deviceInfo()
    #expect(eventually { one.process.whatItSaid.contains("a client connected") })
  }

  @Test func `Whoever is asked in vain is said, with who could be asked`() throws {
    let one = try ControlledProcess()
    let socket = one.scratch.path("edu")
    try one.succeed("add", "edu", "--socket", socket)
    let device = try ProgramRun(ControlledProcess.program, ["ctl", socket, "list"])
    #expect(device.exitCode == 1)
    #expect(
      device.errors.contains("vfio-user ctl \(one.process.processID)"), "\(device.errors)")
    let nobody = try ProgramRun(ControlledProcess.program, ["ctl", "99999999", "list"])
    #expect(nobody.errors.contains("there is no process 99999999"), "\(nobody.errors)")
    let help = try ProgramRun(ControlledProcess.program, ["ctl", one.control, "list", "--help"])
    #expect(help.text.contains("vfio-user ctl <socket> list"), "\(help.text)")
  }

}

extension OwnedDescriptor {
  /// Writes text, which has room.
  fileprivate func put(_ text: String) throws {
    let bytes = Array(text.utf8)
    // Sound: the count is that of the array.
    guard unsafe write(number, bytes, bytes.count) == bytes.count else {
      throw HarnessError("write: \(errno)")
    }
  }
}
