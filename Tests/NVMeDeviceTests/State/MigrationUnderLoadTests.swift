import Glibc
import NVMeProtocol
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

@testable import NVMeDevice

/// A guest whose disk moves to and fro between two controllers of the same storage, with commands in flight.
private final class MovingGuest {
  static let blocks: UInt64 = 512
  private let hosts: [TestHost]
  private var here = 0
  private var queue: TestHost.Queue
  private var numbers: UInt64
  /// What each block holds: the seed of its pattern.
  private var expected: [UInt64: UInt64] = [:]
  private var nextSeed: UInt64 = 0
  /// Commands in flight, by identifier: the block and the seed that is written.
  private var inFlight: [UInt16: (block: UInt64, seed: UInt64)] = [:]

  /// - Parameter mapsDoorbells: whether the guest rings in memory, without messages.
  init(
    seed: UInt64, mapsDoorbells: Bool = false,
    _ change: (inout NVMeConfiguration) throws -> Void
  ) throws {
    numbers = seed &* 0x9E37_79B9_7F4A_7C15 | 1
    let storage = try StorageFile(memory: Self.blocks * 512)
    hosts = try (0..<2).map { _ in
      try TestHost([storage]) {
        $0.serialNumber = "moving"
        try change(&$0)
      }
    }
    if mapsDoorbells {
      for host in hosts { host.registers = try host.client.mapRegion(.bar0) }
    }
    try hosts[0].enable()
    queue = try hosts[0].makeQueue(1, entries: 64)
  }

  private var host: TestHost { hosts[here] }

  private func next(below bound: UInt64) -> UInt64 {
    numbers ^= numbers << 13
    numbers ^= numbers >> 7
    numbers ^= numbers << 17
    return numbers % bound
  }

  private func slot(_ number: Int) -> UInt64 { TestHost.data + UInt64(number) * 512 }

  /// Writes blocks, each with a pattern of its own, without waiting.
  func submit() throws {
    let count = Int(1 + next(below: 40))
    var busy: Set<UInt64> = []
    for number in 0..<count {
      let block = next(below: Self.blocks)
      guard busy.insert(block).inserted else { continue }
      nextSeed += 1
      host.provide(pattern(512, seed: nextSeed), at: slot(number))
      let id = host.put(.io(.write, block: block, data: slot(number)), &queue)
      inFlight[id] = (block, nextSeed)
    }
    if next(below: 8) > 0 { try host.ring(queue) }
  }

  /// Moves at any moment.
  func move() throws {
    usleep(UInt32(next(below: 400)))
    let other = hosts[1 - here]
    try other.takeOver(from: host)
    here = 1 - here
    try host.ring(queue)
  }

  /// Takes all completions; each command has one.
  func collect() throws {
    while !inFlight.isEmpty {
      let entry = try host.next(&queue)
      #expect(entry.status == .success)
      let write = inFlight.removeValue(forKey: entry.commandID)
      let (block, seed) = try #require(write)
      expected[block] = seed
    }
    #expect(host.poll(&queue) == nil)
  }

  func verify() throws {
    for (block, seed) in expected {
      #expect(try host.run(.io(.read, block: block), &queue).status == .success)
      #expect(host.received(512) == pattern(512, seed: seed), "block \(block)")
    }
  }
}

@Suite(.timeLimit(.minutes(5))) struct `A disk that migrates under load` {
  @Test(arguments: [NVMeConfiguration.DoorbellMode.trapped, .mapped])
  func `A disk that migrates a hundred times completes each command once and keeps each block`(
    doorbells: NVMeConfiguration.DoorbellMode
  ) throws {
    let guest = try MovingGuest(seed: doorbells == .mapped ? 2 : 1) { $0.doorbells = doorbells }
    for round in 0..<100 {
      try guest.submit()
      try guest.move()
      try guest.collect()
      if round % 10 == 9 { try guest.verify() }
    }
  }

  @Test func `A disk whose doorbells are rung in memory misses none that is rung while it moves`()
    throws
  {
    let guest = try MovingGuest(seed: 4, mapsDoorbells: true) { $0.doorbells = .mapped }
    for _ in 0..<50 {
      try guest.submit()
      try guest.move()
      try guest.collect()
    }
    try guest.verify()
  }

  @Test func `A disk with a ring migrates under load`() throws {
    let guest = try MovingGuest(seed: 3) { $0.use(.ring) }
    for _ in 0..<30 {
      try guest.submit()
      try guest.move()
      try guest.collect()
    }
    try guest.verify()
  }
}
