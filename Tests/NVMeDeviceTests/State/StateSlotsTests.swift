import Foundation
import Testing

@testable import NVMeDevice

@Suite struct `The slots of a state file` {
  private let record = StateRecord(
    identity: .random(), image: "file 1 made 2.3", path: "/disks/a", blockSize: 4096,
    controller: ControllerRecord(
      counters: CounterRecord(bytesRead: .max, powerOnTime: .max, isPowered: true),
      features: ["1": .max, "999": 1]))

  /// A file whose slots have these sequences.
  private func file(_ sequences: [UInt64], _ change: (inout [UInt8]) -> Void = { _ in }) throws
    -> [UInt8]
  {
    var bytes = try sequences.flatMap {
      try #require(StateSlots.encode(record, sequence: $0))
    }
    change(&bytes)
    return bytes
  }

  @Test func `A state file gives back what was stored, up to the largest numbers`() throws {
    let bytes = try file([1, 2])
    #expect(bytes.count == StateSlots.fileSize)
    #expect(StateSlots.decode(bytes) == .record(record, sequence: 2))
    #expect(try StateSlots.decode(file([.max, .max - 1])) == .record(record, sequence: .max))
  }

  @Test(arguments: [0, 16, 20, 24, 32, 39, 64, 100])
  func `A state file with one torn slot is read from the other`(place: Int) throws {
    let torn = try file([4, 5]) { $0[StateSlots.slotSize + place] ^= 1 }
    #expect(StateSlots.decode(torn) == .record(record, sequence: 4))
  }

  @Test func `A state file with two torn slots is damaged`() throws {
    let torn = try file([4, 5]) {
      $0[100] ^= 1
      $0[StateSlots.slotSize + 100] ^= 1
    }
    #expect(StateSlots.decode(torn) == .damaged)
  }

  @Test func `A state file with an invalid block size is damaged`() throws {
    for size in [0, -1, 513, 1 << 40] {
      var strange = record
      strange.blockSize = size
      let slot = try #require(StateSlots.encode(strange, sequence: 1))
      #expect(StateSlots.decode(slot + slot) == .damaged)
    }
  }

  @Test func `A state file with a slot of a newer version is left to the newer program`() throws {
    let newer = try file([8, 9]) { $0[StateSlots.slotSize + 16] = 2 }
    #expect(StateSlots.decode(newer) == .newer(version: 2))
  }

  @Test func `A file of another kind is not taken for a state file`() throws {
    let strangers: [[UInt8]] = [
      [], Array("{}".utf8), [UInt8](repeating: 0, count: StateSlots.fileSize),
      try file([1, 2]) { $0[0] ^= 1 }, try file([1, 2]) { $0.removeLast() },
      try file([1, 2]) { $0.append(0) },
    ]
    for bytes in strangers { #expect(StateSlots.decode(bytes) == .foreign) }
  }

  @Test func `A state file has no room for a path that fills its slot`() {
    var long = record
    long.path = String(repeating: "/", count: StateSlots.slotSize)
    #expect(StateSlots.encode(long, sequence: 1) == nil)
  }
}
