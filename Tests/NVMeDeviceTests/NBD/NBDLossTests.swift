import Foundation
import Glibc
import Logging
import NVMeProtocol
import Synchronization
import TestSupport
import Testing
import VFIOUserServer

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
    try disk.host.ring(disk.queue)
    for _ in 0..<commands.count {
      let completion = try disk.host.next(&disk.queue)
      let command = try #require(commands[completion.commandID])
      try #require(completion.status == .success)
      seeds[command.place] = command.seed
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
      try disk.host.ring(disk.queue)
      for _ in 0..<commands.count {
        let completion = try disk.host.next(&disk.queue)
        let command = try #require(commands[completion.commandID])
        try #require(completion.status == .success)
        let seed = try #require(seeds[command.place])
        let isRight = disk.host.received(4096, at: place(command.index)) == pattern(4096, seed: seed)
        try #require(isRight, "place \(command.place) does not hold what was written last")
      }
    }
  }
}

@Suite(
  .timeLimit(.minutes(1)), .enabled(if: NBDServer.isPossible, "\(NBDServer.remedy)"))
struct `A disk whose NBD server is lost` {
  @Test(arguments: [0, 64 << 20])
  func `Goes on when the server is there again, twenty times under load`(replay: Int) throws {
    let server = try NBDServer.qemu(size: "16M", format: "raw")
    let disk = try NBDHost(server.address("disk")) { $0.replay = replay }
    var load = VerifiedLoad(disk, seed: 7)
    let isDone = Atomic<Bool>(false)
    let kills = Atomic<Int>(0)
    try withoutActuallyEscaping({ () -> Void in
      while !isDone.load(ordering: .relaxed), kills.load(ordering: .relaxed) < 20 {
        usleep(UInt32.random(in: 5_000...40_000))
        server.kill()
        usleep(UInt32.random(in: 0...10_000))
        try? server.start()
        kills.add(1, ordering: .relaxed)
      }
    }) { _ in }
    _ = kills
    _ = isDone
    try load.write()
    try load.verify()
  }
}
