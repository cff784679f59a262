import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserClient

private let size: UInt64 = 1 << 20

@Suite struct `A large DMA_READ` {
  @Test func `A caller's read goes on while the bytes of a large DMA_READ are copied`() throws {
    let order = Notes<UInt16>()
    let client = try client { server in
      while true {
        let message = try server.receive()
        if message.header.flags.isReply {
          order.add(message.header.id)
        } else {
          server.answer(message)
        }
      }
    }
    let connection = client.supervisor.last.connection
    let (isCopying, mayGoOn) = (Gate(), Gate())
    let copy = try Later {
      connection.answer(Header(id: 7, command: .dmaRead, size: 0), Int(size)) { bytes in
        isCopying.open()
        mayGoOn.wait()
        bytes.copy([UInt8](repeating: 5, count: Int(size)).span)
      }
    }
    isCopying.wait()
    // Each of them needs the lock several times.
    #expect(try client.load(.bar0, at: 3) == expected(at: 3, as: UInt32.self))
    try client.store(1 as UInt32, .bar0, at: 0)
    try client.post(1 as UInt32, .bar0, at: 0)
    #expect(try client.deviceInfo().regionCount == 9)
    #expect(!copy.isDone && order.all.isEmpty)
    mayGoOn.open()
    #expect(order.wait(for: 1) == [7])
    try copy.get()
  }

  @Test func `A small answer and one that is slow to make differ in where they are copied`() throws
  {
    let client = try client { try $0.serve() }
    let connection = client.supervisor.last.connection
    let header = Header(id: 7, command: .dmaRead, size: 0)
    for (size, isSlow, hasLock) in [
      (SendQueue.smallLimit, false, true), (SendQueue.smallLimit + 1, false, false),
      (1, true, false),
    ] {
      connection.answer(header, size, isSlow: isSlow) { _ in
        let isFree = connection.state.withLockIfFree { _ in true } ?? false
        #expect(isFree != hasLock)
      }
    }
  }

  @Test func `Requests behind a large DMA_READ are answered after it, in order`() throws {
    let answers = Notes<ScriptedServer.Message>()
    let client = try client { server in
      server.answer(try server.receive())
      for round in 0..<8 as Range<UInt16> {
        server.send(message(.dmaRead, id: 4 * round, longs([0, size])))
        server.send(
          message(.dmaWrite, id: 4 * round + 1, longs([size - 1, 1]) + [UInt8(round + 1)]))
        server.send(message(.dmaRead, id: 4 * round + 2, longs([size - 1, 1])))
        server.send(message(.dmaRead, id: 4 * round + 3, longs([0, 1 << 15 + 1])))
      }
      while true {
        let message = try server.receive()
        if message.header.flags.isReply { answers.add(message) } else { server.answer(message) }
      }
    }
    try client.map(try SharedMemory(size: size), at: 0, size: size, isShared: false)
    for _ in 0..<100 { #expect(try client.deviceInfo().regionCount == 9) }
    let all = answers.wait(for: 32)
    #expect(all.map(\.header.id) == Array(0..<32))
    for round in 0..<8 {
      #expect(all[4 * round].payload.count == 16 + Int(size))
      #expect(all[4 * round].payload.last == UInt8(round))
      #expect(all[4 * round + 2].payload.last == UInt8(round + 1))
    }
  }

  @Test func `A connection that is lost while an answer is copied sends nothing and loses nothing`()
    throws
  {
    let client = try client { try $0.serve() }
    let connection = client.supervisor.last.connection
    let (isCopying, mayGoOn) = (Gate(), Gate())
    let copy = try Later {
      connection.answer(Header(id: 7, command: .dmaRead, size: 0), Int(size)) { _ in
        isCopying.open()
        mayGoOn.wait()
      }
    }
    isCopying.wait()
    client.disconnect()
    #expect(client.state == .closed)
    mayGoOn.open()
    try copy.get()
    #expect(connection.state.withLock { $0.sending.unsentCount } == 0)
  }
}
