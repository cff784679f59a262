import Foundation
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

/// A client that does everything at once while the program is replaced again and again.
///
/// `VFIO_USER_UPGRADES` is the number of upgrades; the usual is for each commit.
@Suite(.timeLimit(.minutes(60))) struct `A program that is replaced under stress` {
  static let upgrades =
    ProcessInfo.processInfo.environment["VFIO_USER_UPGRADES"].flatMap { Int($0) } ?? 20

  @Test func `Every access, copy, interrupt and window is right, however often`() throws {
    let running = try UpgradableProcess("scratch")
    let client = try Client(connectingTo: FilePath(running.socket))
    let stress = try Stress(client)
    try stress.start()
    for number in 1...Self.upgrades {
      try running.upgradeWell()
      try #require(stress.failures.isEmpty, "after upgrade \(number): \(stress.failures)")
    }
    stress.stop()
    #expect(stress.failures == [])
    #expect(stress.rounds.allSatisfy { $0 > 0 }, "\(stress.rounds)")
    Attachment.record("rounds: \(stress.rounds)\n", named: "measurement.txt")
    client.disconnect()
  }
}

/// Threads that use one device and check what comes of it.
private final class Stress: Sendable {
  private let client: Client
  private let memory: SharedMemory
  private let interrupt: EventFD
  private let isOver = Monitor(false)
  private let found = Monitor<[String]>([])
  private let counts: Monitor<[Int]>
  private let running = Monitor(0)

  /// Guest addresses: the shared memory, and what is mapped and unmapped.
  private static let base: UInt64 = 0x100_0000
  private static let changing: UInt64 = 0x1000_0000

  init(_ client: Client) throws {
    self.client = client
    memory = try SharedMemory(size: 4 << 20)
    interrupt = try EventFD()
    counts = Monitor(Array(repeating: 0, count: 4))
    try client.map(memory, at: Self.base, size: memory.size)
    try client.enable([.memory, .busMaster])
    try client.setTriggers(.msix, [interrupt])
  }

  var failures: [String] { found.withLock { $0 } }
  var rounds: [Int] { counts.withLock { $0 } }

  func start() throws {
    try thread(0) { [self] in try accessMemoryByMessages(&$0) }
    try thread(1) { [self] in try copy(&$0) }
    try thread(2) { [self] in try changeWindows(&$0) }
    try thread(3) { [self] in try post(&$0) }
  }

  func stop() {
    isOver.update { $0 = true }
    _ = running.withLock(when: { $0 == 0 }, before: .after(.seconds(60))) { _ in }
  }

  private func thread(
    _ number: Int, _ body: @escaping @Sendable (inout SplitMix64) throws -> String?
  ) throws {
    running.update { $0 += 1 }
    try DetachedThread.start("stress") { [self] in
      var random = SplitMix64(seed: UInt64(number))
      while !isOver.withLock({ $0 }) {
        do {
          if let failure = try body(&random) { found.update { $0.append(failure) } }
        } catch {
          found.update { $0.append("thread \(number): \(error)") }
        }
        counts.update { $0[number] += 1 }
        guard failures.isEmpty else { break }
      }
      running.update { $0 -= 1 }
    }
  }

  /// BAR 1: what is written is read.
  private func accessMemoryByMessages(_ random: inout SplitMix64) throws -> String? {
    let bytes = random.bytes(1 + Int(random.next() % 5000))
    let offset = random.next() % (1 << 20)
    try client.write(.bar1, at: offset, from: bytes)
    let back = try client.read(.bar1, at: offset, count: bytes.count)
    return back == bytes ? nil : "BAR 1 at \(offset) is not what was written"
  }

  /// A copy in guest memory, and its interrupt.
  private func copy(_ random: inout SplitMix64) throws -> String? {
    let bytes = random.bytes(1 + Int(random.next() % 60_000))
    memory.write(at: 0, from: bytes)
    let before = try client.load(.bar0, at: 0x38, as: UInt64.self)
    try client.store(Self.base, .bar0, at: 0x10)
    try client.store(Self.base + (2 << 20), .bar0, at: 0x18)
    try client.store(UInt64(bytes.count), .bar0, at: 0x20)
    try client.store(UInt32(0x10000), .bar0, at: 0x28)
    try client.store(UInt32(1), .bar0, at: 0x2C)
    guard let count = interrupt.wait(for: .seconds(20)) else { return "no interrupt came" }
    guard count == 1 else { return "\(count) interrupts came" }
    let errno = try client.load(.bar0, at: 0x34, as: UInt32.self)
    guard errno == 0 else { return "a copy has ended with errno \(errno)" }
    let after = try client.load(.bar0, at: 0x38, as: UInt64.self)
    guard after == before + 1 else { return "\(after - before) copies" }
    return memory.read(at: 2 << 20, count: bytes.count) == bytes ? nil : "a copy is another"
  }

  /// Windows come and go, each exactly once.
  private func changeWindows(_ random: inout SplitMix64) throws -> String? {
    let address = Self.changing + (random.next() % 64) << 20
    try client.map(memory, at: address, size: 0x10000, isShared: random.next() % 2 == 0)
    try client.unmap(at: address, size: 0x10000)
    return nil
  }

  /// Posted writes, in order.
  private func post(_ random: inout SplitMix64) throws -> String? {
    let last = random.next()
    for number in 0..<20 as Range<UInt64> {
      try client.post(last &- 19 &+ number, .bar0, at: 0x08)
    }
    return try client.load(.bar0, at: 0x08) == last ? nil : "posted writes came in another order"
  }
}
