import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserClient

@Suite struct `DMA windows` {
  /// What a client says to a window before anything is sent.
  static func refusal(
    _ address: UInt64, _ size: UInt64, offset: UInt64 = 0,
    flags: DMAMapFlags = [.readable, .writable], of json: String = "{}"
  ) throws -> ClientError? {
    let client = try client(of: json) { server in
      let message = try server.receive()
      server.reply(to: message, error: message.command == .dmaMap ? 5 : 0)
    }
    let memory = try SharedMemory(size: 1 << 16)
    return failure { () throws(ClientError) in
      try client.map(memory, at: address, size: size, offset: offset, flags)
    }
  }

  @Test(
    arguments: [
      (0, 0, 0), (4096, 1 << 17, 0), (4096, 1 << 16, 4096), (1, 4096, 0), (0, 4097, 0),
      (0, 4096, 1), (UInt64.max - 4095, 8192, 0), (0, 4096, UInt64.max - 4095),
    ] as [(UInt64, UInt64, UInt64)])
  func `Invalid DMA windows are refused before anything is sent`(
    _ address: UInt64, _ size: UInt64, _ offset: UInt64
  ) throws {
    guard case .badWindow = try Self.refusal(address, size, offset: offset)?.reason else {
      Issue.record("sent, or taken")
      return
    }
  }

  @Test func `DMA windows respect the server's page sizes and limits, and need a permission`()
    throws
  {
    let large = #"{"capabilities":{"pgsizes":65536}}"#
    #expect(
      try Self.refusal(0, 4096, of: large)
        == .badWindow("it is not aligned to the server's page size 65536"))
    #expect(try Self.refusal(0, 1 << 16, of: large) == .refused(.dmaMap, .ioError))
    guard case .badWindow = try Self.refusal(0, 4096, flags: [])?.reason else {
      Issue.record("a window without a permission was taken")
      return
    }
    let client = try client(of: #"{"capabilities":{"max_dma_maps":1}}"#) { try $0.serve() }
    let memory = try SharedMemory(size: 4096)
    try client.map(memory, at: 0, size: 4096)
    #expect(throws: ClientError.badWindow("the server takes at most 1 windows")) {
      try client.map(memory, at: 4096, size: 4096)
    }
  }

  @Test func `Overlapping DMA windows are refused, and an unmapped one may be mapped again`() throws
  {
    let client = try client { try $0.serve() }
    let memory = try SharedMemory(size: 1 << 16)
    try client.map(memory, at: 0x10000, size: 0x3000)
    for (address, size) in [(0x10000, 0x1000), (0xF000, 0x2000), (0x12000, 0x4000), (0, 0x10000)]
      as [(UInt64, UInt64)]
    {
      let error = failure { () throws(ClientError) in
        try client.map(memory, at: address + (address == 0 ? 0x8000 : 0), size: size)
      }
      #expect(error == .badWindow("it overlaps with another"))
    }
    try client.unmap(at: 0x10000, size: 0x3000)
    try client.map(memory, at: 0xF000, size: 0x2000)
    try client.unmapAll()
    try client.map(memory, at: 0xF000, size: 0x2000)
  }

  @Test func `Only those DMA windows are forgotten that the server refuses`() throws {
    let client = try client { server in
      for place in 0..<4 { server.reply(to: try server.receive(), error: place == 2 ? 12 : 0) }
      try server.serve()
    }
    let memory = try SharedMemory(size: 4096)
    #expect(throws: ClientError.refused(.dmaMap, .noMemory)) {
      try client.transaction { (changes) throws(ClientError) in
        for page in 0..<4 as Range<UInt64> { try changes.map(memory, at: page << 12, size: 4096) }
      }
    }
    #expect(client.memory.all.map(\.address) == [0, 4096, 3 * 4096])
    try client.map(memory, at: 2 * 4096, size: 4096)
  }

  @Test func `DMA windows of a transaction are sent together and waited for once`() throws {
    let client = try client { server in
      var requests: [ScriptedServer.Message] = []
      for _ in 0..<100 { requests.append(try server.receive()) }
      for request in requests.reversed() { server.answer(request) }
      try server.serve()
    }
    let memory = try SharedMemory(size: 4096)
    try client.transaction { (changes) throws(ClientError) in
      for page in 0..<100 as Range<UInt64> { try changes.map(memory, at: page << 12, size: 4096) }
    }
    #expect(client.memory.all.count == 100)
  }

  @Test func `The background reader is needed for as long as there is a DMA window`() throws {
    let client = try client { try $0.serve() }
    let state = client.supervisor.last.connection.state
    let memory = try SharedMemory(size: 4096)
    #expect(state.withLock { $0.background.users } == 0)
    for _ in 0..<3 {
      try client.map(memory, at: 0, size: 4096)
      try client.map(memory, at: 4096, size: 4096)
      #expect(state.withLock { $0.background.users } == 1)
      try client.unmap(at: 0, size: 4096)
      #expect(state.withLock { $0.background.users } == 1)
      try client.unmapAll()
      #expect(state.withLock { $0.background.users } == 0)
    }
    try onThreads(8) { number in
      #expect(throws: Never.self) { try client.map(memory, at: UInt64(number) << 12, size: 4096) }
    }
    #expect(state.withLock { $0.background.users } == 1)
  }

  @Test func `Unmapping a DMA window reports its timeout`() async throws {
    let client = try client { server in
      for _ in 0..<2 { server.answer(try server.receive()) }
      while true { _ = try server.receive() }
    }
    let memory = try SharedMemory(size: 8192)
    for address in [0, 4096] as [UInt64] {
      try await client.map(memory, at: address, size: 4096)
    }
    let error = failure { () throws(ClientError) in
      try client.unmap(at: 0, size: 4096, timeout: .milliseconds(5))
    }
    #expect(error == .timedOut(.dmaUnmap))
    await #expect(throws: ClientError.timedOut(.dmaUnmap)) {
      try await client.unmap(at: 4096, size: 4096, timeout: .milliseconds(5))
    }
  }

  @Test func `Mapping DMA windows ends at the timeout of the transaction`() throws {
    let gate = Gate()
    let client = try client { server in
      let request = try server.receive()
      gate.wait()
      server.answer(request)
      try server.serve()
    }
    let memory = try SharedMemory(size: 4096)
    #expect(throws: ClientError.timedOut(.dmaMap)) {
      try client.transaction(timeout: .milliseconds(20)) { (changes) throws(ClientError) in
        try changes.map(memory, at: 0, size: 4096)
      }
    }
    gate.open()
    #expect(try client.deviceInfo().regionCount == 9)
    #expect(client.memory.all.isEmpty)
  }
}
