import AllocationCounter
import Synchronization
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

/// How often each thing is done to warm up, and again to be counted.
private let rounds = 10_000

/// Notes how much the thread of an event has allocated so far, at the requests of a server.
private final class AllocationSink: TraceSink {
  let requests = Atomic<Int>(0)
  /// Of the thread that served the request in the middle, and the last one.
  let first = Atomic<UInt64>(0)
  let last = Atomic<UInt64>(0)

  func record(_ event: TraceEvent) {
    guard case .request = event else { return }
    let number = requests.add(1, ordering: .relaxed).newValue
    if number == rounds { first.store(allocation_count(), ordering: .relaxed) }
    last.store(allocation_count(), ordering: .relaxed)
  }
}

/// A client that has memory registered keeps a background reader, which is armed whenever nobody reads.
@Suite(
  .enabled(if: isCounted, "counts mean something in release builds without a sanitizer only"),
  .serialized)
struct `Steady-state allocations with registered memory` {
  /// A client with memory registered.
  private func client(
    _ options: ClientOptions = ClientOptions(),
    _ script: @escaping @Sendable (ScriptedServer) throws -> Void
  ) throws -> Client {
    let running = try RunningScript { server in
      try server.agree()
      server.answer(try server.receive())
      try script(server)
    }
    let client = try Client(running.clientEnd, options: options)
    let memory = try SharedMemory(size: 1 << 16)
    memory.write(at: 0, from: ScriptedServer.pattern(at: 0, count: 1 << 16))
    try client.map(memory, at: 0, size: 1 << 16)
    return client
  }

  /// Allocations of this thread.
  private func count(
    _ script: @escaping @Sendable (ScriptedServer) throws -> Void = { try $0.serve() },
    _ body: (Client) throws -> Void
  ) throws -> UInt64 {
    let client = try client(ClientOptions(), script)
    for _ in 0..<rounds { try body(client) }
    let before = allocation_count()
    for _ in 0..<rounds { try body(client) }
    return allocation_count() - before
  }

  @Test func `A client with registered memory allocates nothing for a read into a caller's buffer`()
    throws
  {
    var buffer = [UInt8](repeating: 0, count: 64)
    let counted = try count { client in
      var span = buffer.mutableSpan
      var bytes = unsafe span.mutableBytes
      try client.read(.bar0, at: 0, into: &bytes)
    }
    #expect(counted == 0)
    #expect(buffer == ScriptedServer.pattern(at: 0, count: 64))
  }

  @Test func `A client with registered memory allocates nothing for a write`() throws {
    let bytes = [UInt8](repeating: 7, count: 64)
    #expect(try count { try $0.write(.bar0, at: 0, from: bytes) } == 0)
  }

  @Test func `A client with registered memory allocates nothing for loads and stores of any type`()
    throws
  {
    let counted = try count { client in
      _ = try client.load(.bar0, at: 0, as: UInt8.self)
      _ = try client.load(.bar0, at: 0, as: UInt16.self)
      _ = try client.load(.bar0, at: 0, as: UInt32.self)
      _ = try client.load(.bar0, at: 0, as: UInt64.self)
      try client.store(UInt8(1), .bar0, at: 0)
      try client.store(UInt32(1), .bar0, at: 0)
    }
    #expect(counted == 0)
  }

  @Test func `A client with registered memory allocates nothing for a posted write`() throws {
    let bytes = [UInt8](repeating: 7, count: 64)
    let counted = try count { client in
      try client.post(UInt32(1), .bar0, at: 0)
      try client.post(.bar0, at: 0, from: bytes)
      _ = try client.load(.bar0, at: 0, as: UInt32.self)
    }
    #expect(counted == 0)
  }

  @Test func `A client allocates nothing for a DMA_READ that a waiting caller serves in place`()
    throws
  {
    let wrong = Atomic<Int>(0)
    let question = message(.dmaRead, numbers([0x100, 512]))
    let answer = ScriptedServer.pattern(at: 0x100, count: 512)
    let counted = try count { server in
      while true {
        let request = try server.receive()
        server.send(question)
        let reply = try server.receive()
        if reply.payload.dropFirst(16) != answer[...] { wrong.add(1, ordering: .relaxed) }
        server.answer(request)
      }
    } _: {
      _ = try $0.load(.bar0, at: 0, as: UInt32.self)
    }
    #expect(counted == 0)
    #expect(wrong.load(ordering: .relaxed) == 0)
  }

  @Test
  func `A client allocates nothing for a DMA_READ or DMA_WRITE that its background reader serves`()
    throws
  {
    let sink = AllocationSink()
    var options = ClientOptions()
    options.trace = sink
    let done = Monitor(false)
    let reading = message(.dmaRead, numbers([0x100, 512]))
    let writing = message(.dmaWrite, numbers([0x1000, 8, 5]))
    let client = try client(options) { server in
      for number in 0..<2 * rounds {
        server.send(number % 2 == 0 ? reading : writing)
        _ = try server.receive()
      }
      done.update { $0 = true }
      try server.serve()
    }
    #expect(done.withLock(when: { $0 }, before: .after(.seconds(60))) { _ in true } == true)
    #expect(client.failure == nil)
    #expect(sink.requests.load(ordering: .relaxed) == 2 * rounds)
    #expect(sink.last.load(ordering: .relaxed) - sink.first.load(ordering: .relaxed) == 0)
  }
}

/// Little-endian numbers of 8 bytes.
private func numbers(_ numbers: [UInt64]) -> [UInt8] {
  numbers.flatMap { number in
    (0..<8).map { UInt8(truncatingIfNeeded: number >> (8 * UInt64($0))) }
  }
}
