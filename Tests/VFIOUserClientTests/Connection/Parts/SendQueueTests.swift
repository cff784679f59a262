import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserClient

private let silent = TracePoint(nil)

/// A queue with a socket of which the other end is read by a thread.
private struct Bench: ~Copyable {
  var queue = SendQueue()
  let socket: MessageSocket
  private let peer: MessageSocket
  private let seen = Notes<ScriptedServer.Message>()

  init() throws { (socket, peer) = try MessageSocket.pair() }

  mutating func append(_ id: UInt16, _ payload: [UInt8] = []) {
    let header = Header(id: id, command: .deviceReset, size: 0)
    queue.append(header, payload.count, DescriptorList(), silent) { $0.copy(payload.span) }
  }

  /// Makes a message of one byte again and again.
  func make(_ message: LargeMessage, _ id: UInt16, _ size: Int) {
    let isMade = message.make(Header(id: id, command: .dmaRead, size: 0)) {
      $0.copy([UInt8](repeating: UInt8(id), count: size).span)
    }
    #expect(isMade)
  }

  mutating func appendLarge(_ id: UInt16, _ size: Int) {
    let message = queue.reserve(size)
    make(message, id, size)
    queue.append(message, silent)
  }

  /// Appends messages until the socket takes no more.
  mutating func fill() throws {
    repeat {
      append(1, [UInt8](repeating: 1, count: 16 << 10))
      try queue.send(to: socket, silent)
    } while queue.isEmpty
  }

  /// Sends everything and reads it at the other end.
  mutating func arrivals() throws -> [ScriptedServer.Message] {
    append(.max)
    let (peer, seen) = (peer, seen)
    let reader = try Later {
      let server = ScriptedServer(peer)
      while let message = try? server.receive(within: .seconds(10)), message.header.id != .max {
        seen.add(message)
      }
    }
    let end = ContinuousClock.now + .seconds(10)
    while !reader.isDone, ContinuousClock.now < end { try queue.send(to: socket, silent) }
    #expect(queue.isEmpty && queue.unsentCount == 0)
    return seen.all
  }
}

@Suite struct `The queue of messages to send` {
  @Test func `A large message takes its place when it is complete`() throws {
    var bench = try Bench()
    bench.append(1, [1])
    let message = bench.queue.reserve(1 << 20)
    bench.append(2, [2])
    bench.make(message, 3, 1 << 20)
    bench.queue.append(message, silent)
    bench.append(4, [4])
    bench.appendLarge(5, 100_000)
    bench.append(6)
    let all = try bench.arrivals()
    #expect(all.map(\.header.id) == [1, 2, 3, 4, 5, 6])
    #expect(all.map(\.payload.count) == [1, 1, 1 << 20, 1, 100_000, 0])
    #expect(all[2].payload == [UInt8](repeating: 3, count: 1 << 20))
  }

  @Test func `A large message that is being made counts as unsent, and does not hold up others`()
    throws
  {
    var bench = try Bench()
    let message = bench.queue.reserve(5000)
    #expect(bench.queue.unsentCount == 5000 && bench.queue.isEmpty)
    bench.append(1)
    let (socket, queued) = (bench.socket, bench.queue.unsentCount)
    #expect(queued == 5016)
    try bench.queue.send(to: socket, silent)
    #expect(bench.queue.unsentCount == 5000)
    bench.queue.giveBack(message)
    #expect(bench.queue.unsentCount == 0)
  }

  @Test func `A message whose payload cannot be had is not there`() throws {
    var bench = try Bench()
    let header = Header(id: 9, command: .dmaRead, size: 0)
    #expect(throws: Errno.badAddress) {
      try bench.queue.append(header, 8, DescriptorList(), silent) { (_) throws(Errno) in
        throw .badAddress
      }
    }
    let message = bench.queue.reserve(8)
    #expect(throws: Errno.badAddress) {
      _ = try message.make(header) { (_) throws(Errno) in throw .badAddress }
    }
    bench.queue.giveBack(message)
    bench.append(1)
    #expect(try bench.arrivals().map(\.header.id) == [1])
  }

  @Test func `The room of a large message is used again, and given back after a while`() throws {
    var bench = try Bench()
    bench.appendLarge(1, 70_000)
    try bench.queue.send(to: bench.socket, silent)
    let reserved = bench.queue.reserve(10)
    #expect(reserved.outbox.capacity >= 70_000)
    bench.queue.giveBack(reserved)
    for _ in 0...Outbox.patience {
      bench.append(1)
      try bench.queue.send(to: bench.socket, silent)
    }
    #expect(bench.queue.reserve(10).outbox.capacity == 0)
  }

  @Test func `Posted writes are collected while the socket is full, in front of what follows`()
    throws
  {
    var bench = try Bench()
    bench.queue.collects = true
    let write = RegionWrite(offset: 0, region: .bar0, count: 4, value: 7)
    let isCollected = bench.queue.collect(write)
    #expect(!isCollected, "the socket is not full")
    try bench.fill()
    for _ in 0..<SendQueue.maxCollected {
      let isCollected = bench.queue.collect(write)
      #expect(isCollected)
    }
    let isOneMore = bench.queue.collect(write)
    #expect(!isOneMore)
    bench.appendLarge(2, 50_000)
    bench.append(3)
    let all = try bench.arrivals().drop { $0.header.id == 1 }
    #expect(all.map(\.header.id) == [CallTable.posted, 2, 3])
    #expect(all.first?.command == .regionWriteMulti)
  }

  @Test func `Messages that are discarded are not sent`() throws {
    var bench = try Bench()
    bench.append(1)
    bench.appendLarge(2, 50_000)
    bench.queue.discard()
    let isEmpty = bench.queue.isEmpty
    #expect(isEmpty)
    bench.append(3)
    #expect(try bench.arrivals().map(\.header.id) == [3])
  }
}
