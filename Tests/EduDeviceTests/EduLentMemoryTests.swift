import EduDevice
import TestBench
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

/// A VMM that lends its memory: a part of a memfd, for DMA of a device in both directions.
@Suite struct `Memory of a VMM that is lent to edu` {
  static let base: UInt64 = 0x10000
  static let size: UInt64 = 64 << 10
  /// Where edu's buffer is.
  static let buffer: UInt64 = 0x40000

  enum Way: CaseIterable, Sendable {
    case mapped
    case mappedWithMessages
    case lentOnly
    case lentOnlyWithMessages

    var isShared: Bool { self == .mapped || self == .lentOnly }

    func memory(_ file: MemoryFile, at offset: UInt64) throws -> SharedMemory {
      switch self {
      case .mapped, .mappedWithMessages:
        try SharedMemory(adopting: file.descriptor(), offset: offset, size: size)
      case .lentOnly, .lentOnlyWithMessages:
        try SharedMemory(lending: file.descriptor(), offset: offset, size: size)
      }
    }
  }

  @Test(arguments: Way.allCases)
  func `edu reads and writes lent memory, for its second client too`(_ way: Way) throws {
    let file = try MemoryFile(size: 4 * Self.size)
    let bench = try Bench()
    for round in 1...2 as ClosedRange<UInt8> {
      let client = try bench.connect()
      let memory = try way.memory(file, at: 2 * Self.size)
      try client.map(memory, at: Self.base, size: Self.size, isShared: way.isShared)
      try client.store(UInt16(0x0006), .configuration, at: 0x04)
      for pass in 1...2 as ClosedRange<UInt8> {
        let text = [round, pass, 3, 4, 5, 6, 7, 8]
        file.write(at: 2 * Self.size + 16, from: text)
        try transfer(client, from: Self.base + 16, to: Self.buffer, 0x1)
        try transfer(client, from: Self.buffer, to: Self.base + Self.size - 8, 0x3)
        #expect(file.read(at: 3 * Self.size - 8, count: 8) == text)
      }
      // Nothing beside the part was touched.
      #expect(file.read(at: 3 * Self.size, count: 8) == [UInt8](repeating: 0, count: 8))
      client.disconnect()
    }
  }

  private func transfer(
    _ client: Client, from source: UInt64, to destination: UInt64, _ command: UInt64
  ) throws {
    try client.store(source, .bar0, at: 0x80)
    try client.store(destination, .bar0, at: 0x88)
    try client.store(8 as UInt64, .bar0, at: 0x90)
    try client.store(command, .bar0, at: 0x98)
    #expect(client.eventually(.bar0, at: 0x98, 0x1, is: 0))
  }
}
