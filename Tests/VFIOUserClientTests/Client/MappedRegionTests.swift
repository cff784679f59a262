import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

/// The description of a region of 64 KiB with mappable areas.
func region(_ areas: [(UInt64, UInt64)], flags: UInt32 = 0xF) -> [UInt8] {
  let chain =
    capability(1, next: 0) + words([UInt32(areas.count), 0]) + areas.flatMap { longs([$0, $1]) }
  return words([UInt32(32 + chain.count), flags, 0, 32, 0x10000, 0, 0, 0]) + chain
}

/// A server whose region can be mapped, and is a file of a test's.
private func client(
  _ areas: [(UInt64, UInt64)], flags: UInt32 = 0xF, file: TruncatableMemory,
  _ asked: Notes<Command> = Notes()
) throws -> Client {
  try client { server in
    let request = try server.receive()
    var list = DescriptorList()
    list.append(try file.lent())
    server.reply(to: request, region(areas, flags: flags), descriptors: list)
    while true {
      let message = try server.receive()
      asked.add(message.command)
      server.answer(message)
    }
  }
}

private let page: UInt64 = 4096
private let two: [(UInt64, UInt64)] = [(0x4000, 0x2000), (0x1000, 0x1000)]

@Suite struct `A mapped region` {
  @Test func `A region is requested and mapped once for all who hold the mapping`() async throws {
    let file = try TruncatableMemory(size: 0x10000)
    let asked = Notes<UInt32>()
    let client = try client { server in
      while true {
        let request = try server.receive()
        asked.add(request.word(at: 8))
        var list = DescriptorList()
        list.append(try file.lent())
        server.reply(to: request, region(two), descriptors: list)
      }
    }
    var mapped: MappedRegion? = try await client.mapRegion(.bar0)
    #expect(try await client.mapRegion(.bar0) === mapped)
    let maps = { try client.mapRegion(.bar0) }
    #expect(try maps() === mapped)
    #expect(asked.all == [0])
    mapped = nil
    mapped = try maps()
    #expect(asked.all == [0, 0])
    let others = Notes<ObjectIdentifier>()
    try onThreads(8) { _ in
      if let one = try? client.mapRegion(.bar0) { others.add(ObjectIdentifier(one)) }
    }
    let first = try #require(mapped)
    #expect(others.all == Array(repeating: ObjectIdentifier(first), count: 8))
    client.disconnect()
    #expect(throws: ClientError.disconnected(.closedByUs)) { try maps() }
  }

  @Test func `A mapped region is read and written at any width without messages`() throws {
    let file = try TruncatableMemory(size: 0x10000)
    let view = try #require(MappedFile(try file.lent()))
    let asked = Notes<Command>()
    let client = try client(two, file: file, asked)
    let mapped = try client.mapRegion(.bar0)
    #expect(mapped.areas.map(\.offset) == [0x1000, 0x4000])
    try mapped.store(UInt32(0x0403_0201), at: 0x1FFC)
    #expect((0..<4).map { view[0x1FFC + $0] } == [1, 2, 3, 4])
    #expect(try mapped.load(at: 0x1FFE) == UInt16(0x0403))
    try mapped.store(UInt64.max, at: 0x4000)
    try mapped.store(UInt8(7), at: 0x5FFF)
    try mapped.store(UInt128.max - 1, at: 0x4010)
    #expect(try mapped.load(at: 0x4010) == UInt128.max - 1)
    #expect(view[0x4007] == 255 && view[0x5FFF] == 7)
    try mapped.write(at: 0x4800, from: Array(0..<100))
    #expect(try mapped.read(at: 0x4801, count: 99) == Array(1..<100))
    #expect(try mapped.load(at: 0x4802, as: Int16.self) == 0x0302)
    #expect(asked.all == [])
  }

  @Test(
    arguments: [
      (0, 1), (0xFFF, 1), (0xFFF, 2), (0x1FFF, 2), (0x2000, 1), (0x3FFF, 2), (0x5FFF, 2),
      (0x6000, 0x1000), (.max, 2), (0x1000, 0x1001), (0x10000, 1),
    ] as [(UInt64, Int)])
  func `A mapped region refuses accesses that are not wholly inside of an area`(
    _ offset: UInt64, _ count: Int
  ) throws {
    let file = try TruncatableMemory(size: 0x10000)
    let client = try client(two, file: file)
    let mapped = try client.mapRegion(.bar0)
    defer { client.disconnect() }
    let error = ClientError.notMapped(.bar0, offset: offset, count: count)
    #expect(!mapped.isMapped(.readable, at: offset, count: count))
    #expect(throws: error) { try mapped.read(at: offset, count: count) }
    let bytes = [UInt8](repeating: 1, count: count)
    #expect(throws: error) { try mapped.write(at: offset, from: bytes) }
  }

  @Test func `Accesses through the client use messages for the unmapped parts of a region`() throws
  {
    let file = try TruncatableMemory(size: 0x10000)
    let asked = Notes<Command>()
    let client = try client(two, file: file, asked)
    let mapped = try client.mapRegion(.bar0)
    try client.store(UInt32(5), mapped, at: 0x1000)
    #expect(try client.load(mapped, at: 0x1000) == UInt32(5))
    #expect(asked.all == [])
    #expect(try client.load(mapped, at: 0x20) == expected(at: 0x20, as: UInt16.self))
    try client.store(UInt32(5), mapped, at: 0xFFE)
    #expect(asked.all == [.regionRead, .regionWrite])
    // In front of the first area, the first, between, the second, behind.
    try client.write(mapped, at: 0xF00, from: [UInt8](repeating: 9, count: 0x5200))
    #expect(asked.all.dropFirst(2) == [.regionWrite, .regionWrite, .regionWrite])
    let bytes = try client.read(mapped, at: 0xF00, count: 0x5200)
    #expect(bytes.prefix(0x100).elementsEqual(ScriptedServer.pattern(at: 0xF00, count: 0x100)))
    #expect(bytes[0x100..<0x1100].allSatisfy { $0 == 9 })
    #expect(
      bytes[0x1100..<0x3100].elementsEqual(ScriptedServer.pattern(at: 0x2000, count: 0x2000)))
    #expect(bytes[0x3100..<0x5100].allSatisfy { $0 == 9 })
    #expect(bytes.suffix(0x100).elementsEqual(ScriptedServer.pattern(at: 0x6000, count: 0x100)))
  }

  @Test func `Tasks access the mapped and unmapped parts of a region through the client`()
    async throws
  {
    let file = try TruncatableMemory(size: 0x10000)
    let client = try client(two, file: file)
    let mapped: MappedRegion = try await client.mapRegion(.bar0)
    try await client.store(UInt32(5), mapped, at: 0x1000)
    #expect(try await client.load(mapped, at: 0x1000) == UInt32(5))
    #expect(try await client.load(mapped, at: 0x20) == expected(at: 0x20, as: UInt16.self))
    try await client.write(mapped, at: 0xF00, from: [UInt8](repeating: 9, count: 0x200))
    let bytes = try await client.read(mapped, at: 0xF80, count: 0x100)
    #expect(bytes.prefix(0x80).elementsEqual(ScriptedServer.pattern(at: 0xF80, count: 0x80)))
    #expect(bytes.suffix(0x80).allSatisfy { $0 == 9 })
  }

  @Test func `A write to a read-only mapping is refused instead of ending the process`() throws {
    let file = try TruncatableMemory(size: 0x10000)
    let asked = Notes<Command>()
    let client = try client(two, flags: 0xD, file: file, asked)
    let mapped = try client.mapRegion(.bar0)
    #expect(try mapped.load(at: 0x1000) == UInt8(0))
    #expect(throws: ClientError.notMapped(.bar0, offset: 0x1000, count: 1)) {
      try mapped.store(UInt8(1), at: 0x1000)
    }
    try client.store(UInt8(1), mapped, at: 0x1000)
    #expect(asked.all == [.regionWrite])
  }

  @Test func `Accesses to a mapping whose file was truncated fail, and the process goes on`() throws
  {
    let file = try TruncatableMemory(size: 0x10000)
    let client = try client(two, file: file)
    let mapped = try client.mapRegion(.bar0)
    defer { client.disconnect() }
    try mapped.store(UInt32(5), at: 0x4000)
    file.resize(to: 0x2000)
    let cut = ClientError.truncatedMapping(.bar0, offset: 0x4000)
    #expect(throws: cut) { try mapped.load(at: 0x4000, as: UInt32.self) }
    #expect(throws: cut) { try mapped.store(UInt64(1), at: 0x4000) }
    #expect(throws: cut) { try mapped.read(at: 0x4000, count: 100) }
    #expect(throws: cut) { try mapped.write(at: 0x4000, from: [1]) }
    #expect(try mapped.load(at: 0x1000) == UInt32(0))
  }

  @Test(
    arguments: [
      ([(0x1000, 0x1800)], "whole pages"), ([(0x800, 0x1000)], "whole pages"),
      ([(0x1000, 0x2000), (0x2000, 0x1000)], "overlap"),
      ([(0xF000, 0x1000)], "not inside of a file of 32768 bytes"),
      ([(0x8000, 0x1000)], "not inside of a file of 32768 bytes"), ([], "does not offer"),
    ] as [([(UInt64, UInt64)], String)])
  func `A region with areas that cannot be mapped is refused`(
    _ areas: [(UInt64, UInt64)], _ why: String
  ) throws {
    let file = try TruncatableMemory(size: 0x8000)
    let client = try client(areas, file: file)
    guard
      case .unmappable(.bar0, let text) = failure({ () throws(ClientError) in
        _ = try client.mapRegion(.bar0)
      })?.reason
    else {
      Issue.record("it was mapped")
      return
    }
    #expect(text.contains(why))
    #expect(try client.deviceInfo().regionCount == 9)
  }

  @Test func `An access across two adjacent areas of a mapped region is refused`() throws {
    let file = try TruncatableMemory(size: 0x8000)
    let client = try client([(0x2000, 0x1000), (0x1000, 0x1000)], file: file)
    let mapped = try client.mapRegion(.bar0)
    defer { client.disconnect() }
    #expect(mapped.areas.map(\.offset) == [0x1000, 0x2000])
    try mapped.store(UInt32(1), at: 0x1FFC)
    try mapped.store(UInt32(2), at: 0x2000)
    #expect(try mapped.load(at: 0x1FFC) == UInt32(1))
    #expect(try mapped.load(at: 0x2000) == UInt32(2))
    #expect(throws: ClientError.notMapped(.bar0, offset: 0x1FFE, count: 4)) {
      try mapped.load(at: 0x1FFE, as: UInt32.self)
    }
  }

  @Test func `A region whose descriptor is a socket is not mapped`() throws {
    let client = try client { server in
      let (mine, theirs) = try MessageSocket.pair()
      defer { mine.shutdown() }
      var list = DescriptorList()
      list.append(try theirs.descriptor.duplicate())
      server.reply(to: try server.receive(), region(two), descriptors: list)
      try server.serve()
    }
    guard
      case .unmappable = failure({ () throws(ClientError) in _ = try client.mapRegion(.bar0) })?
        .reason
    else {
      Issue.record("a socket was mapped")
      return
    }
  }

  @Test func `Accesses to a mapped region fail with the reason once the connection is lost`() throws
  {
    let file = try TruncatableMemory(size: 0x10000)
    let client = try client(two, file: file)
    let mapped = try client.mapRegion(.bar0)
    client.disconnect()
    let lost = ClientError.disconnected(.closedByUs)
    #expect(throws: lost) { try mapped.load(at: 0x1000, as: UInt8.self) }
    #expect(throws: lost) { try mapped.store(UInt8(1), at: 0x1000) }
  }

  @Test func `A mapped region is unmapped with its last reference`() async {
    await #expect(processExitsWith: .success) {
      let file = try TruncatableMemory(size: 0x10000)
      let client = try client(two, file: file)
      #expect(mappingsOfClients() == 0)
      var mapped: MappedRegion? = try client.mapRegion(.bar0)
      #expect(mappingsOfClients() == 2)
      #expect(try mapped?.load(at: 0x1000) == UInt8(0))
      mapped = nil
      #expect(mappingsOfClients() == 0)
    }
  }
}
