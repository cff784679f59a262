import Foundation
import Glibc
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProgram

@Suite(.timeLimit(.minutes(2))) struct `A caller of the control socket that means harm` {
  @Test func `A client that has closed its connection may still change nothing`() throws {
    let one = try ControlledProcess()
    let socket = one.scratch.path("edu")
    try one.succeed("add", "edu", "--socket", socket)
    let caller = try ControlClient(path: one.control)
    let level = JSONValue.object(["level": .text("debug")])
    #expect(try caller.call("log-level", level)["level"] == .text("debug"))
    let client = try Client(connectingTo: FilePath(socket))
    _ = try client.deviceInfo()
    client.disconnect()
    #expect(eventually { (try? one.succeed("list").contains("process")) == false })
    let error = #expect(throws: CommandError.self) { try caller.call("log-level", level) }
    #expect("\(error as Any)".contains("client"))
    #expect(try caller.call("version")["process"] == .integer(Int64(one.process.processID)))
    #expect(try one.succeed("log-level", "info") == "info\n")
  }

  @Test func `A client of a disk does not take its limits away`() throws {
    let one = try ControlledProcess()
    let socket = one.scratch.path("disk")
    try one.succeed("add", "nvme", "--socket", socket, "--memory", "1M", "--limit-ops", "1000")
    let client = try Client(connectingTo: FilePath(socket))
    _ = try client.deviceInfo()
    let caller = try ControlClient(path: one.control)
    let error = #expect(throws: CommandError.self) {
      try caller.call(
        "limit", .object(["socket": .text(socket), "limits": .object(["ops": .null])]))
    }
    #expect("\(error as Any)".contains("client"))
    // It may look.
    #expect("\(try caller.call("limits", .object(["socket": .text(socket)])))".contains("1000"))
  }

  @Test func `One process that keeps connections leaves some to others`() throws {
    let one = try ControlledProcess()
    var callers: [ControlClient] = []
    func connect() -> Bool {
      guard let caller = try? ControlClient(path: one.control), (try? caller.call("list")) != nil
      else { return false }
      callers.append(caller)
      return true
    }
    // The one that has looked whether the process listens may still be counted.
    for _ in 0..<8 { #expect(eventually { connect() }) }
    let error = #expect(throws: CommandError.self) {
      try ControlClient(path: one.control).call("list")
    }
    #expect(error != nil)
    #expect(try one.succeed("list") == "no devices\n")
    for caller in callers { _ = try caller.call("list") }
    // It may call again when they are gone.
    callers.removeAll()
    for _ in 0..<8 { #expect(eventually { connect() }) }
  }

  @Test func `A deeply nested request does not end the process`() throws {
    let one = try ControlledProcess()
    let deep = String(repeating: "[", count: 400) + String(repeating: "]", count: 400)
    #expect(try one.ctl("call", "list", deep).errors.contains("levels"))
    #expect(try one.succeed("list") == "no devices\n")
  }
}

@Suite(.timeLimit(.minutes(2))) struct `Names that callers of the control socket use` {
  @Test func `A device is found by any path that leads to its socket`() throws {
    let one = try ControlledProcess()
    let (socket, link) = (one.scratch.path("edu"), one.scratch.path("link"))
    try one.succeed("add", "edu", "--socket", socket)
    try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: socket)
    #expect(try one.succeed("stats", link).contains(socket))
    try one.succeed("remove", link)
    #expect(try one.succeed("list") == "no devices\n")
  }

  @Test func `A disk whose file has another name by now grows, and what has its name does not`()
    throws
  {
    let one = try ControlledProcess()
    let (socket, file) = (one.scratch.path("disk"), one.scratch.path("image"))
    try one.succeed("add", "nvme", "--socket", socket, "--file", file, "--size", "1M")
    try FileManager.default.moveItem(atPath: file, toPath: file + ".moved")
    // Opening it to write waits for a reader.
    // Sound: the string is lent for the call.
    #expect(unsafe mkfifo(file, 0o600) == 0)
    try one.succeed("resize", socket, "--size", "3M")
    let size = try FileManager.default.attributesOfItem(atPath: file + ".moved")[.size] as? Int
    #expect(size == 3 << 20)
  }
}
