import Foundation
import Glibc
import Logging
import NVMeProtocol
import Synchronization
import TestSupport
import Testing
import VFIOUserServer
import VFIOUserTransport

@testable import NVMeDevice

/// A driver that remembers what it has written, with many commands at a time.
private struct VerifiedLoad {
  static let blocks: UInt64 = 1024
  let disk: NBDHost
  private var seeds: [UInt64: UInt64] = [:]
  private var next: UInt64 = 0
  private var numbers: UInt64

  init(_ disk: NBDHost, seed: UInt64) {
    self.disk = disk
    numbers = seed &* 0x9E37_79B9_7F4A_7C15 | 1
  }

  private mutating func number(below bound: UInt64) -> UInt64 {
    numbers ^= numbers << 13
    numbers ^= numbers >> 7
    numbers ^= numbers << 17
    return numbers % bound
  }

  private func place(_ index: Int) -> UInt64 { TestHost.data + UInt64(index) * 4096 }

  /// Writes some places of the disk at a time, 4096 bytes each.
  mutating func write() throws {
    var commands: [UInt16: (place: UInt64, seed: UInt64)] = [:]
    var busy: Set<UInt64> = []
    for index in 0..<24 {
      let block = number(below: Self.blocks)
      guard busy.insert(block).inserted else { continue }
      next += 1
      disk.host.provide(pattern(4096, seed: next), at: place(index))
      let id = disk.host.put(
        .io(.write, block: block * 8, blocks: 8, data: place(index)), &disk.queue)
      commands[id] = (block, next)
    }
    try complete(commands) { seeds[$0.place] = $0.seed }
  }

  /// Has commands carried out, each with success; `body` gets them in the order of their completions.
  private func complete<Note>(_ commands: [UInt16: Note], _ body: (Note) throws -> Void) throws {
    try disk.host.ring(disk.queue)
    for _ in 0..<commands.count {
      let completion = try disk.host.next(&disk.queue)
      let command = try #require(commands[completion.commandID])
      try #require(completion.status == .success)
      try body(command)
    }
  }

  /// Reads places that were written, and compares.
  mutating func verify(all: Bool = false) throws {
    let places = all ? Array(seeds.keys) : Array(seeds.keys.shuffled().prefix(24))
    for start in stride(from: 0, to: places.count, by: 24) {
      var commands: [UInt16: (index: Int, place: UInt64)] = [:]
      for (index, block) in places[start..<min(start + 24, places.count)].enumerated() {
        let id = disk.host.put(
          .io(.read, block: block * 8, blocks: 8, data: place(index)), &disk.queue)
        commands[id] = (index, block)
      }
      try complete(commands) { command in
        let seed = try #require(seeds[command.place])
        let isRight =
          disk.host.received(4096, at: place(command.index)) == pattern(4096, seed: seed)
        try #require(isRight, "place \(command.place) does not hold what was written last")
      }
    }
  }
}

@Suite(
  .timeLimit(.minutes(1)), .enabled(if: NBDServer.isPossible, "\(NBDServer.remedy)"))
struct `A disk whose NBD server is lost` {
  /// Whether a log line begins so.
  private static func logged(_ log: CollectedLog, _ text: String) -> Bool {
    log.lines.contains { $0.hasPrefix(text) }
  }

  @Test(arguments: [0, 64 << 20])
  func `Goes on when the server is there again, twenty times under load`(replay: Int) throws {
    let server = try NBDServer.qemu(size: "16M", format: "raw")
    let disk = try NBDHost(server.address("disk")) { $0.replay = replay }
    var load = VerifiedLoad(disk, seed: 7)
    let isOver = EventFlag()
    let counters = disk.export.counters
    try DetachedThread.start("killer") {
      for kill in 1...20 {
        usleep(UInt32.random(in: 1_000...20_000))
        server.kill()
        usleep(UInt32.random(in: 0...5_000))
        try? server.start()
        _ = eventually { counters.reconnects >= kill }
      }
      isOver.set()
    }
    while !isOver.isSet {
      try load.write()
      try load.verify()
    }
    try load.verify(all: true)
    #expect(counters.reconnects == 20)
  }

  @Test func `Without a store the next flush fails, and the one after it does not`() throws {
    let server = try NBDServer.qemu(size: "16M", format: "raw")
    let log = CollectedLog()
    let disk = try NBDHost(server.address("disk"), logger: log.logger) { $0.replay = 0 }
    #expect(try disk.write(0, seed: 1) == .success)
    server.kill()
    try server.start()
    #expect(try disk.run(.io(.flush)).means(.writeFault) == true)
    #expect(try disk.run(.io(.flush)) == .success)
    // What is flushed is safe.
    server.kill()
    try server.start()
    #expect(try disk.run(.io(.flush)) == .success)
    #expect(Self.logged(log, "what was written since the last flush may be lost"))
  }

  @Test func `With a store what was not flushed is written again, the newest last`() throws {
    // Memory: nothing is left of a server that was killed.
    let server = try NBDServer.nbdkit(["memory", "16M"])
    let disk = try NBDHost(server.address())
    #expect(try disk.write(0, seed: 1) == .success)
    #expect(try disk.write(4, seed: 2) == .success)
    #expect(try disk.run(.io(.writeZeroes, block: 64, blocks: 8)) == .success)
    let durable = SubmissionEntry.io(.write, block: 0, blocks: 8).with { $0.dword12 |= 1 << 30 }
    disk.host.provide(pattern(4096, seed: 3))
    #expect(try disk.run(durable) == .success)
    server.kill()
    try server.start()
    #expect(try disk.holds(0, seed: 3) == true)
    #expect(try disk.run(.io(.flush)) == .success)
    // Now it is the server's.
    server.kill()
    try server.start()
    #expect(try disk.holds(0, seed: 3) == false)
  }

  @Test func `A store that is too small has the next flush fail`() throws {
    let server = try NBDServer.nbdkit(["memory", "16M"])
    let disk = try NBDHost(server.address()) { $0.replay = 2 << 10 }
    #expect(try disk.write(0, seed: 1) == .success)
    server.kill()
    try server.start()
    #expect(try disk.run(.io(.flush)).means(.writeFault) == true)
    #expect(try disk.run(.io(.flush)) == .success)
  }

  @Test func `A disk flushes by itself before its store is full`() throws {
    // The tables of a qcow2 image are lost with the server until it flushes.
    let server = try NBDServer.qemu()
    let disk = try NBDHost(server.address("disk")) { $0.replay = 64 << 10 }
    for block in 0..<64 as Range<UInt64> { #expect(try disk.write(block * 8, seed: 1) == .success) }
    server.kill()
    try server.start()
    for block in 0..<64 as Range<UInt64> { #expect(try disk.holds(block * 8, seed: 1) == true) }
    #expect(try disk.run(.io(.flush)) == .success)
  }

  @Test func `Commands fail when the server stays away, and are served when it is back`() throws {
    let server = try NBDServer.nbdkit(["memory", "16M"])
    let log = CollectedLog()
    let disk = try NBDHost(server.address(), logger: log.logger) { $0.timeout = .milliseconds(300) }
    #expect(try disk.write(0, seed: 1) == .success)
    server.kill()
    #expect(try disk.run(.io(.read)).means(.namespaceNotReady) == true)
    // From now on at once.
    let start = ContinuousClock.now
    #expect(try disk.run(.io(.read)).means(.namespaceNotReady) == true)
    #expect(ContinuousClock.now - start < .milliseconds(250))
    try server.start()
    #expect(eventually { (try? disk.run(.io(.read))) == .success })
    #expect(try disk.holds(0, seed: 1) == true)
    #expect(Self.logged(log, "the NBD server is lost"))
    #expect(Self.logged(log, "the NBD server is back"))
  }

  @Test func `Another export in its place is refused`() throws {
    let folder = try ScratchFolder()
    let server = try NBDServer.nbdkit(["memory", "16M"], in: folder)
    let log = CollectedLog()
    let disk = try NBDHost(server.address(), logger: log.logger) { $0.timeout = .milliseconds(300) }
    server.kill()
    let other = try NBDServer.nbdkit(["memory", "8M"], in: folder)
    #expect(try disk.run(.io(.read)).means(.namespaceNotReady) == true)
    #expect(eventually { Self.logged(log, "the NBD server cannot be reached") })
    other.kill()
    try server.start()
    #expect(eventually { (try? disk.run(.io(.read))) == .success })
  }

  @Test(arguments: [true, false])
  func `A reset does not wait for a server that hangs, and nothing comes behind it`(isRead: Bool)
    throws
  {
    let server = try NBDServer.qemu(size: "16M", format: "raw")
    let disk = try NBDHost(server.address("disk"))
    #expect(try disk.write(0, seed: 1) == .success)
    #expect(try disk.run(.io(.flush)) == .success)
    server.process?.send(SIGSTOP)
    disk.host.put(.io(isRead ? .read : .write, blocks: 8), &disk.queue)
    try disk.host.ring(disk.queue)
    usleep(50_000)
    let start = ContinuousClock.now
    try disk.host.resetDevice()
    #expect(ContinuousClock.now - start < .seconds(3))
    disk.host.provide([UInt8](repeating: 0xAB, count: 4096))
    server.process?.send(SIGCONT)
    disk.host.resetPlaces()
    try disk.host.enable()
    disk.queue = try disk.host.makeQueue(1, entries: 64)
    // The new commands come behind what the server had of the old ones.
    #expect(disk.host.received(4096).allSatisfy { $0 == 0xAB } == true)
    #expect(try disk.write(0, seed: 2) == .success)
    #expect(try disk.holds(0, seed: 2) == true)
  }
}

/// Something that has happened.
final class EventFlag: Sendable {
  private let value = Atomic<Bool>(false)
  var isSet: Bool { value.load(ordering: .acquiring) }
  func set() { value.store(true, ordering: .releasing) }
}
