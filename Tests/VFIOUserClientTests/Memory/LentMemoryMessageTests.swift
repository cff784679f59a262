import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserClient

private let page: UInt64 = 4096
private let hugePage: UInt64 = 2 << 20

/// What a server gets for requests to memory at 0 of a client's, which come after its first command.
private func answers(
  to requests: [[UInt8]], from memory: SharedMemory, _ flags: DMAMapFlags = [.readable, .writable],
  before: () -> Void = {}
) throws -> [ScriptedServer.Message] {
  let answers = Notes<ScriptedServer.Message>()
  let isReady = Gate()
  let client = try client { server in
    server.answer(try server.receive())
    isReady.wait()
    for request in requests { answers.add(try server.ask(request)) }
    try server.serve()
  }
  try client.map(memory, at: 0, size: memory.size, flags, isShared: false)
  before()
  isReady.open()
  return answers.wait(for: requests.count)
}

@Suite struct `DMA messages for memory that somebody else has allocated` {
  @Test(arguments: Lending.allCases)
  func `DMA messages read and write lent memory at its offset`(_ way: Lending) throws {
    let file = try MemoryFile(size: 4 * page)
    file.write(at: 2 * page + 5, from: [1, 2, 3])
    let all = try answers(
      to: [
        message(.dmaRead, id: 1, longs([5, 3])),
        message(.dmaWrite, id: 2, longs([page - 2, 2]) + [8, 9]),
        message(.dmaRead, id: 3, longs([page - 2, 3])),
      ],
      from: way.memory(file, at: 2 * page, size: page))
    #expect(all.map(\.header.id) == [1, 2, 3])
    #expect(all[0].payload == longs([5, 3]) + [1, 2, 3])
    #expect(all[1].payload == longs([page - 2, 2]))
    #expect(all[2].header == Header.refusal(.dmaRead, id: 3, .badAddress))
    #expect(file.read(at: 3 * page - 3, count: 4) == [0, 8, 9, 0])
  }

  @Test(arguments: Lending.allCases)
  func `A large DMA_READ gets all of lent memory`(_ way: Lending) throws {
    let size: UInt64 = 1 << 20
    let file = try MemoryFile(size: 2 * size)
    let bytes = (0..<Int(size)).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 9) }
    file.write(at: size, from: bytes)
    let all = try answers(
      to: [message(.dmaRead, id: 1, longs([0, size])), message(.dmaRead, id: 2, longs([1, 1]))],
      from: way.memory(file, at: size, size: size))
    #expect(all.map(\.header.id) == [1, 2])
    #expect(all[0].payload == longs([0, size]) + bytes)
    #expect(all[1].payload == longs([1, 1]) + [bytes[1]])
  }

  @Test(arguments: Lending.allCases, [1, UInt64(1 << 20)])
  func `DMA messages for bytes that a truncated file has lost get EFAULT`(
    _ way: Lending, _ count: UInt64
  ) throws {
    let file = try MemoryFile(size: 2 << 20)
    let memory = try way.memory(file, size: 2 << 20)
    let all = try answers(
      to: [
        message(.dmaRead, id: 1, longs([(1 << 20) - count / 2, count])),
        message(.dmaRead, id: 2, longs([(1 << 20), count])),
        message(.dmaRead, id: 3, longs([0, 2])),
      ], from: memory
    ) { file.resize(to: 1 << 20) }
    #expect(all.map(\.header.id) == [1, 2, 3])
    #expect(all[0].header == Header.refusal(.dmaRead, id: 1, .badAddress))
    #expect(all[1].header == Header.refusal(.dmaRead, id: 2, .badAddress))
    #expect(all[2].payload == longs([0, 2]) + [0, 0])
    #expect(memory.isTruncated)
  }

  @Test func `A DMA_WRITE to huge pages that are only lent gets what pwrite says`() throws {
    let file = try MemoryFile(size: hugePage, isHuge: true)
    let all = try answers(
      to: [
        message(.dmaWrite, id: 1, longs([0, 1]) + [1]), message(.dmaRead, id: 2, longs([0, 1])),
      ],
      from: Lending.lending.memory(file, size: hugePage))
    #expect(all[0].header == Header.refusal(.dmaWrite, id: 1, .invalidArgument))
    #expect(all[1].payload == longs([0, 1]) + [0])
  }

  @Test func `A DMA window is announced with the offset in the file and the file itself`() throws {
    let file = try MemoryFile(size: 8 * page)
    let seen = Notes<[UInt64]>()
    let client = try client { server in
      let map = try server.receive()
      seen.add([map.long(at: 8), map.long(at: 16), map.long(at: 24), UInt64(map.descriptorCount)])
      if let descriptor = server.takeDescriptor() {
        let memory = try SharedMemory(adopting: descriptor, offset: map.long(at: 8), size: page)
        memory.write(at: 0, from: [77])
      }
      server.answer(map)
      try server.serve()
    }
    let memory = try Lending.lending.memory(file, at: 4 * page, size: 4 * page)
    try client.map(memory, at: 0x10_0000, size: page, offset: page)
    #expect(seen.all == [[5 * page, 0x10_0000, page, 1]])
    #expect(file.read(at: 5 * page, count: 1) == [77])
  }

  @Test func `A DMA window is aligned by its offset in the file`() throws {
    let client = try client(of: #"{"capabilities":{"pgsizes":65536}}"#) { try $0.serve() }
    let file = try MemoryFile(size: 64 * page)
    let memory = try Lending.lending.memory(file, at: 8 * page, size: 32 * page)
    #expect(throws: ClientError.badWindow("it is not aligned to the server's page size 65536")) {
      try client.map(memory, at: 0, size: 16 * page)
    }
    try client.map(memory, at: 0, size: 16 * page, offset: 8 * page)
  }
}
