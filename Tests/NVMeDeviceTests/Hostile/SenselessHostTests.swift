import NVMeProtocol
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserClient

@testable import NVMeDevice

@Suite struct `A host that writes random values` {
  @Test(arguments: 1...12)
  func `A disk works after a reset whatever random values a host has written`(seed: Int) throws {
    let host = try TestHost()
    var numbers = Numbers(seed: UInt64(seed))
    for round in 0..<20 {
      try? host.enable(entries: 16)
      for _ in 0..<40 { try? mischief(host, &numbers) }
      if round % 4 == 3 { try host.resetDevice() } else { try host.disable() }
      host.resetPlaces()
    }
    try host.resetDevice()
    try host.enable()
    var queue = try host.makeQueue()
    #expect(try host.run(.io(.read), &queue).status == .success)
  }

  struct Numbers: RandomNumberGenerator {
    var state: UInt64
    init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }
    mutating func next() -> UInt64 {
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      return state
    }
  }

  private func mischief(_ host: TestHost, _ numbers: inout Numbers) throws {
    switch UInt8.random(in: 0..<10, using: &numbers) {
    case 0:
      let offset = UInt64.random(in: 0..<0x40, using: &numbers) & ~3
      // Not the reset registers: the rest of the round would be for nothing.
      guard offset != RegisterOffset.configuration, offset != RegisterOffset.subsystemReset else {
        return
      }
      try host.store(UInt32.random(in: 0 ... .max, using: &numbers), offset)
    case 1:
      try host.store(
        UInt32.random(in: 0..<80, using: &numbers),
        0x1000 + UInt64.random(in: 0..<1024, using: &numbers) * 4)
    case 2:
      _ = try host.client.write(
        .bar0, at: UInt64.random(in: 0..<0x3000, using: &numbers),
        from: pattern(Int.random(in: 1..<64, using: &numbers), seed: numbers.next()))
    default:
      host.put(entry(&numbers), &host.admin)
      try host.ring(host.admin)
      while host.poll(&host.admin) != nil {}
      try host.store(host.admin.head, RegisterOffset.completionHead(0))
    }
  }

  private func entry(_ numbers: inout Numbers) -> SubmissionEntry {
    let opcodes: [UInt8] = [
      0x00, 0x01, 0x02, 0x04, 0x05, 0x06, 0x08, 0x09, 0x0A, 0x0C, 0x7C, 0x80,
    ]
    var entry = SubmissionEntry(
      opcode: Bool.random(using: &numbers)
        ? opcodes[Int.random(in: 0..<opcodes.count, using: &numbers)]
        : UInt8.random(in: 0 ... .max, using: &numbers),
      commandID: UInt16.random(in: 1..<64, using: &numbers),
      namespaceID: [0, 1, 2, .max][Int.random(in: 0..<4, using: &numbers)])
    entry.flags = CommandFlags(
      rawValue: UInt8.random(in: 0..<8, using: &numbers) == 0 ? 0x40 : 0)
    entry.dataPointer1 = address(&numbers)
    entry.dataPointer2 = address(&numbers)
    entry.dword10 = small(&numbers)
    entry.dword11 = small(&numbers)
    entry.dword12 = small(&numbers)
    entry.dword13 = small(&numbers)
    return entry
  }

  private func address(_ numbers: inout Numbers) -> UInt64 {
    switch UInt8.random(in: 0..<4, using: &numbers) {
    case 0: TestHost.data + UInt64.random(in: 0..<0x10_0000, using: &numbers)
    case 1: TestHost.data + UInt64.random(in: 0..<0x100, using: &numbers) * 4096
    case 2: 0
    default: numbers.next()
    }
  }

  private func small(_ numbers: inout Numbers) -> UInt32 {
    switch UInt8.random(in: 0..<3, using: &numbers) {
    case 0: UInt32.random(in: 0..<16, using: &numbers)
    case 1: UInt32.random(in: 0..<16, using: &numbers) << 16 | 1
    default: UInt32(truncatingIfNeeded: numbers.next())
    }
  }
}
