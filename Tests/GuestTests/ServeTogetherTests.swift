import ArgumentParser
import CLinux
import Foundation
import Glibc
import NVMeDriver
import NVMeProtocol
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserTransport

@testable import vfio_user

/// Needs no guest.
@Suite(.timeLimit(.minutes(2))) struct `Devices of one configuration file` {
  @Test func `Devices of one configuration file are busy at once without mixing up data`() throws {
    let scratch = try ScratchFolder()
    let process = try DeviceProcess(
      configuration: twoControllers, sockets: ["controller-0", "controller-1"], in: scratch)
    defer { process.kill() }
    let course = Monitor(BusyDisks.Course())
    for (number, socket) in process.sockets.enumerated() {
      try DetachedThread.start("busy") {
        do {
          try BusyDisks(socket, number).run(course)
        } catch {
          course.update { $0.failures.append("controller \(number): \(error)") }
        }
        course.update { $0.ended += 1 }
      }
    }
    #expect(eventually(within: .seconds(100)) { course.withLock { $0.ended == 2 } })
    let end = course.withLock { $0 }
    #expect(end.failures.isEmpty, "\(end.failures)\n\(process.whatItSaid)")
    #expect(end.rounds.allSatisfy { $0 >= BusyDisks.rounds })
  }

  @Test(arguments: [SIGTERM, SIGINT])
  func `Devices of one configuration file end together at a signal and remove their sockets`(
    _ signal: Int32
  ) throws {
    let scratch = try ScratchFolder()
    let process = try DeviceProcess(
      configuration: """
        \(twoControllers)
        [[edu]]
        socket = "edu"
        [[scratch]]
        socket = "scratch"
        [[serial]]
        socket = "port"
        listen = "far"
        """, sockets: ["controller-0", "controller-1", "edu", "scratch", "port", "far"], in: scratch
    )
    defer { process.kill() }
    let clients = try process.sockets.prefix(4).map { try Client(connectingTo: FilePath($0)) }
    process.process.send(signal)
    #expect(try process.process.exitCode() == 0)
    for path in process.sockets { #expect(!FileManager.default.fileExists(atPath: path)) }
    clients.forEach { $0.disconnect() }
  }

  /// What the last table of a file says, and a part of the message about it.
  @Test(arguments: [
    (
      "[[nvme]]\nsocket = \"z\"\nfile = \"nowhere.img\"",
      "[[nvme]] number 3: there is no file"
    ),
    ("[[serial]]\nsocket = \"/etc/passwd\"\npty = true", "[[serial]] number 1: /etc/passwd exists"),
    ("[[scratch]]\nsocket = \"no/z\"", "[[scratch]] number 1: cannot listen on"),
  ])
  func `No device of a configuration file is served when one of them cannot start`(
    _ last: String, _ says: String
  ) throws {
    let scratch = try ScratchFolder()
    let file = scratch.path("devices.toml")
    try "\(twoControllers)\n\(last)\n".write(toFile: file, atomically: true, encoding: .utf8)
    let process = try ChildProcess(
      GuestEnvironment.program, ["serve", "--config", file], log: scratch.path("log"))
    #expect(try process.exitCode() == 1)
    let said = process.whatItSaid.replacing(/, line [0-9]+/, with: "")
    #expect(said.contains("devices.toml: \(says)"), "\(said)")
    for name in ["controller-0", "controller-1", "z"] {
      #expect(!FileManager.default.fileExists(atPath: scratch.path(name)))
    }
  }
}

@Suite(.timeLimit(.minutes(2))) struct `The example of a configuration file` {
  private static func page() throws -> String {
    let text = try String(
      contentsOf: GuestEnvironment.package.appending(path: "Documentation/Serve.md"),
      encoding: .utf8)
    let block = try #require(text.firstMatch(of: /```toml\n((?s).*?)```/))
    return String(block.1)
  }

  @Test func `The example of a configuration file works when it is copied`() throws {
    let scratch = try ScratchFolder()
    let process = try DeviceProcess(
      configuration: Self.page(), sockets: ["one.sock", "two.sock", "port.sock"], in: scratch)
    defer { process.kill() }
    process.process.send(SIGTERM)
    #expect(try process.process.exitCode() == 0)
  }

  @Test func `The example of a configuration file is the same on its page and in the help`() throws
  {
    let lines = { (text: String) in
      text.split(separator: "\n").map {
        $0.prefix { $0 != "#" }.trimmingCharacters(in: .whitespaces)
      }.filter { !$0.isEmpty }
    }
    let help = lines(Serve.helpMessage(columns: 200))
    let first = try #require(help.firstIndex(of: "[[nvme]]"))
    let last = try #require(help.firstIndex(of: "pty = true"))
    #expect(Array(help[first...last]) == lines(try Self.page()))
  }
}

/// What a start that fails leaves behind.
@Suite struct `A start that fails` {
  private static let missing = [
    "[[nvme]]\nsocket = \"a\"\nfile = \"one.img\"\nsize = \"1M\"\n",
    "[[nvme]]\nsocket = \"b\"\nnamespace = [{ file = \"two.img\", size = \"1M\" }, { file = \"no.img\" }]\n",
  ]

  @Test func `A failed start of several devices creates no files`() throws {
    let scratch = try ScratchFolder()
    let file = scratch.path("devices.toml")
    try Self.missing.joined().write(toFile: file, atomically: true, encoding: .utf8)
    let run = try ProgramRun(["serve", "--config", file])
    #expect(run.exitCode == 1)
    #expect(run.errors.contains("there is no file"), "\(run.errors)")
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: scratch.url.path) == ["devices.toml"])
  }

  @Test func `A failed start of one device creates no files`() throws {
    let scratch = try ScratchFolder()
    let run = try ProgramRun([
      "serve", "nvme", "--socket", scratch.path("s"), "--namespace",
      "file=\(scratch.path("one.img")),size=1M", "--namespace", "file=\(scratch.path("no.img"))",
    ])
    #expect(run.exitCode == 1)
    #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.url.path) == [])
  }
}

/// Both namespaces of a controller, written and read back with many commands under way.
private final class BusyDisks {
  /// How far all of them are.
  struct Course {
    var rounds = [0, 0]
    var failures: [String] = []
    var ended = 0
  }

  /// Each goes on until all have done as many, so that they are sure to have been busy together.
  static let rounds = 40
  private static let depth = 16
  private static let bytes = 16 << 10

  private let number: Int
  private let controller: NVMeController
  private let namespaces: [NVMeNamespace]
  private let queue: QueuePair
  private let buffers: [DataBuffer]

  init(_ socket: String, _ number: Int) throws {
    self.number = number
    let controller = try NVMeController(Client(connectingTo: FilePath(socket)))
    try controller.enable()
    _ = try controller.requestQueues(1)
    namespaces = try [1, 2].map { try NVMeNamespace($0, of: controller) }
    queue = try controller.createQueue(1, entries: 2 * Self.depth)
    buffers = try (0..<Self.depth).map { _ in try DataBuffer(Self.bytes, in: controller.arena) }
    self.controller = controller
  }

  func run(_ course: Monitor<Course>) throws {
    var round = 0
    while course.withLock({ $0.rounds.contains { $0 < Self.rounds } && $0.failures.isEmpty }) {
      for slot in buffers.indices { buffers[slot].data.write(from: content(round, slot)) }
      try all(round, isRead: false)
      for slot in buffers.indices { buffers[slot].data.write(from: Self.nothing) }
      try all(round, isRead: true)
      for slot in buffers.indices {
        guard buffers[slot].data.read(count: Self.bytes) == content(round, slot) else {
          throw HarnessError("round \(round), slot \(slot): other data than was written")
        }
      }
      round += 1
      course.update { $0.rounds[number] = round }
    }
    try controller.shutDown()
    controller.client.disconnect()
  }

  private static let nothing = [UInt8](repeating: 0, count: bytes)

  /// Different for each controller, namespace, round and slot.
  private func content(_ round: Int, _ slot: Int) -> [UInt8] {
    let words = [UInt8(number + 1), UInt8(slot), UInt8(round & 0xFF), UInt8(round >> 8 & 0xFF)]
    return (0..<Self.bytes).map { words[$0 & 3] &+ UInt8($0 >> 9 & 0xFF) }
  }

  /// Every other slot is the second namespace's.
  private func all(_ round: Int, isRead: Bool) throws {
    for (slot, buffer) in buffers.enumerated() {
      let space = namespaces[slot & 1]
      let place = UInt64((round * Self.depth + slot) * Self.bytes) % (48 << 20)
      let block = place / UInt64(space.blockSize)
      let blocks = Self.bytes / space.blockSize
      var entry: SubmissionEntry =
        isRead
        ? .read(space.id, from: block, blocks: blocks)
        : .write(space.id, to: block, blocks: blocks)
      entry.point(to: buffer, count: Self.bytes)
      _ = try queue.submit(entry)
    }
    try queue.ring()
    var left = buffers.count
    var refused: Status?
    while left > 0 {
      let count = try queue.wait(for: .seconds(20)) { answer in
        if !answer.status.isSuccess { refused = answer.status }
      }
      guard count > 0 else { throw HarnessError("\(left) commands do not end") }
      left -= count
    }
    if let refused { throw HarnessError("refused: \(refused)") }
  }
}
