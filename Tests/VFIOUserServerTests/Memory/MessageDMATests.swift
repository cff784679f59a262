import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

@Suite struct `DMA by messages` {
  @Test func `DMA by messages is split into concurrent requests that may be answered in any order`()
    throws
  {
    let client = try MessageClient { $0.dmaMessageSize = 32 << 10 }
    let outcome = try client.startRead(100 << 10)
    let requests = try (0..<4).map { _ in try client.expect(.dmaRead) }
    #expect(requests.map(\.access.count) == [32 << 10, 32 << 10, 32 << 10, 4 << 10])
    #expect(Set(requests.map(\.id)).count == 4)
    for request in requests.reversed() { client.answerRead(request) }
    #expect(
      try outcome.get()
        == MessageClient.content(DMAAccess(address: MessageClient.base, count: 100 << 10)))
  }

  @Test
  func `DMA by messages respects the data limit of the client and the limit of requests in flight`()
    throws
  {
    let client = try MessageClient(#"{"max_data_xfer_size":1000}"#) { $0.dmaMessagesInFlight = 3 }
    let outcome = try client.startWrite(Array(repeating: 7, count: 5000))
    for _ in 0..<3 { #expect(try client.expect(.dmaWrite).access.count == 1000) }
    #expect(throws: StreamError.deadlinePassed(during: .receiving)) {
      try client.peer.receive(within: .milliseconds(50))
    }
    #expect(!outcome.isThere)
  }

  @Test func `DMA by messages does not delay commands of the client`() throws {
    let client = try MessageClient()
    let outcome = try client.startRead(16)
    let request = try client.expect(.dmaRead)
    let access = bytes(of: RegionAccess(offset: 0, region: .bar0, count: 4))
    #expect(try client.peer.ask(message(.regionRead, id: request.id, access)).payload.count == 20)
    client.answerRead(request)
    #expect(try outcome.get().count == 16)
  }

  @Test func `Eight concurrent reads by DMA messages each get their own data`() throws {
    let client = try MessageClient()
    let reads = try (0..<8).map { try client.startRead(3000, at: UInt64($0) * 4096) }
    for _ in 0..<8 { client.answerRead(try client.expect(.dmaRead)) }
    for (number, read) in reads.enumerated() {
      let access = DMAAccess(address: MessageClient.base + UInt64(number) * 4096, count: 3000)
      #expect(try read.get() == MessageClient.content(access))
    }
  }

  @Test(arguments: [0, 12, 16])
  func `DMA_WRITE accepts each of the three forms of its reply`(size: Int) throws {
    let client = try MessageClient()
    let outcome = try client.startWrite([1, 2, 3, 4, 5])
    let request = try client.expect(.dmaWrite)
    #expect(request.data == [1, 2, 3, 4, 5])
    #expect(request.access == DMAAccess(address: MessageClient.base, count: 5))
    client.peer.send(
      message(.dmaWrite, id: request.id, flags: .reply, Array(bytes(of: request.access)[..<size])))
    try outcome.get()
    try client.checkThatAllIsWell()
  }

  struct BadAnswer: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let error: MemoryError
    let make: @Sendable (UInt16, DMAAccess) -> [UInt8]

    init(
      _ name: String, _ error: MemoryError,
      _ make: @escaping @Sendable (UInt16, DMAAccess) -> [UInt8]
    ) {
      testDescription = name
      self.error = error
      self.make = make
    }
  }

  static func reply(
    _ command: Command, _ id: UInt16, _ address: UInt64, _ count: UInt64, data: Int
  ) -> [UInt8] {
    message(
      command, id: id, flags: .reply,
      bytes(of: DMAAccess(address: address, count: count)) + Array(repeating: 1, count: data))
  }

  static let badReads = [
    BadAnswer("EPERM", .refused(.notPermitted)) { id, _ in
      message(.dmaRead, id: id, flags: [.reply, .error], error: 1)
    },
    BadAnswer("error 0", .refused(.ioError)) { id, _ in
      message(.dmaRead, id: id, flags: [.reply, .error])
    },
    BadAnswer("an error beyond 31 bits", .refused(.ioError)) { id, _ in
      message(.dmaRead, id: id, flags: [.reply, .error], error: .max)
    },
    BadAnswer("an error with a payload", .refused(.badAddress)) { id, access in
      message(.dmaRead, id: id, flags: [.reply, .error], error: 14, bytes(of: access))
    },
    BadAnswer("nothing", .malformedReply) { id, _ in message(.dmaRead, id: id, flags: .reply) },
    BadAnswer("too little", .malformedReply) { reply(.dmaRead, $0, $1.address, 8, data: 7) },
    BadAnswer("too much", .malformedReply) { reply(.dmaRead, $0, $1.address, 8, data: 9) },
    BadAnswer("another count", .malformedReply) { reply(.dmaRead, $0, $1.address, 7, data: 8) },
    BadAnswer("fewer than asked for", .malformedReply) {
      reply(.dmaRead, $0, $1.address, 7, data: 7)
    },
    BadAnswer("an enormous count", .malformedReply) {
      reply(.dmaRead, $0, $1.address, 8 | 1 << 40, data: 8)
    },
    BadAnswer("another address", .malformedReply) {
      reply(.dmaRead, $0, $1.address + 1, 8, data: 8)
    },
    BadAnswer("another command", .malformedReply) {
      reply(.dmaWrite, $0, $1.address, 8, data: 0)
    },
    BadAnswer("no command at all", .malformedReply) {
      reply(Command(rawValue: 999), $0, $1.address, 8, data: 8)
    },
    BadAnswer("a hundred thousand bytes", .malformedReply) {
      reply(.dmaRead, $0, $1.address, 8, data: 100_000)
    },
  ]

  @Test(arguments: badReads)
  func `DMA_READ fails with the exact error for a bad reply and the stream stays in step`(
    _ bad: BadAnswer
  ) throws {
    let client = try MessageClient()
    let outcome = try client.startRead(8)
    let request = try client.expect(.dmaRead)
    client.peer.send(bad.make(request.id, request.access))
    #expect(outcome.error == bad.error)
    try client.checkThatAllIsWell()
  }

  @Test(arguments: [13, 4, 11, 20])
  func `DMA_WRITE refuses a malformed reply`(size: Int) throws {
    let client = try MessageClient()
    let outcome = try client.startWrite([1, 2, 3])
    let request = try client.expect(.dmaWrite)
    let payload = bytes(of: request.access) + [0, 0, 0, 0]
    client.peer.send(message(.dmaWrite, id: request.id, flags: .reply, Array(payload[..<size])))
    #expect(outcome.error == .malformedReply)
    try client.checkThatAllIsWell()
  }

  @Test func `DMA_READ accepts a reply that carries a descriptor`() throws {
    let client = try MessageClient()
    let outcome = try client.startRead(8)
    let request = try client.expect(.dmaRead)
    var descriptors = DescriptorList()
    descriptors.append(taggedDescriptor(1))
    client.peer.send(
      message(
        .dmaRead, id: request.id, flags: .reply,
        bytes(of: request.access) + MessageClient.content(request.access)),
      descriptors: descriptors)
    #expect(outcome.error == nil)
    try client.checkThatAllIsWell()
  }

  @Test func `DMA_READ to a silent client times out and its late replies are ignored`() throws {
    let client = try MessageClient { $0.dmaTimeout = .milliseconds(50) }
    let outcome = try client.startRead(8)
    let request = try client.expect(.dmaRead)
    #expect(outcome.error == .timedOut)
    client.answerRead(request)
    client.answerRead(request)
    _ = try client.peer.ask(message(.deviceReset))
    let second = try client.startWrite([9])
    let write = try client.expect(.dmaWrite)
    #expect(write.id != request.id)
    client.peer.send(message(.dmaWrite, id: write.id, flags: .reply))
    try second.get()
  }

  @Test func `A client that never replies to DMA_READ is disconnected`() throws {
    let client = try MessageClient { $0.dmaTimeout = .milliseconds(1) }
    var errors: [MemoryError?] = []
    for _ in 0..<70 { errors.append(try client.startRead(1).error) }
    #expect(errors.prefix(60).allSatisfy { $0 == .timedOut })
    #expect(errors.last == .stale || errors.last == .dmaNotAllowed)
    #expect(eventually { client.device.state.withLock { $0.departures } == 1 })
  }

  @Test func `DMA by messages fails when the client disconnects`() throws {
    let client = try MessageClient()
    let outcomes = try (0..<6).map { try client.startRead(60_000, at: UInt64($0)) }
    _ = try client.expect(.dmaRead)
    client.peer.socket.shutdown()
    for outcome in outcomes { #expect(outcome.error == .stale) }
    #expect(eventually { client.device.state.withLock { $0.departures } == 1 })
  }

  @Test func `DMA by messages fails in a callback and works after the reply of the callback`()
    throws
  {
    let client = try MessageClient()
    let seen = Monitor<(inside: MemoryError?, later: [UInt8]?)>((nil, nil))
    client.device.state.withLock { state in
      state.onWrite = { bus in
        let inside = Result { () throws(MemoryError) in
          try bus.memory.access().read(at: MessageClient.base, count: 8)
        }
        if case .failure(let error) = inside { seen.update { $0.inside = error } }
        try? bus.afterReply { transfer in
          let later = try? transfer.read(at: MessageClient.base, count: 8)
          seen.update { $0.later = later }
        }
      }
    }
    let write = bytes(of: RegionAccess(offset: 0, region: .bar0, count: 4)) + [1, 2, 3, 4]
    let reply = try client.peer.ask(message(.regionWrite, id: 12, write))
    #expect(reply.header.id == 12 && reply.header.flags == .reply)
    let request = try client.expect(.dmaRead)
    client.answerRead(request)
    let later = seen.withLock(when: { $0.later != nil }, before: .after(.seconds(10))) { $0 }
    #expect(later?.inside == .wouldDeadlock)
    #expect(later?.later == MessageClient.content(request.access))
  }

  @Test func `DMA by messages fails if its DMA window is unmapped in flight`() throws {
    let client = try MessageClient { $0.dmaMessageSize = 1024 }
    let outcome = try client.startRead(8192)
    let requests = try (0..<4).map { _ in try client.expect(.dmaRead) }
    let unmap = DMAUnmap(address: MessageClient.base, size: 1 << 20)
    #expect(try client.peer.ask(message(.dmaUnmap, bytes(of: unmap))).errno == nil)
    for request in requests { client.answerRead(request) }
    #expect(outcome.error == .unmapped(at: MessageClient.base + 4096))
  }

  @Test func `DMA by messages survives a client that does not read for a while`() throws {
    let client = try MessageClient { $0.dmaMessagesInFlight = 8 }
    let data = (0..<(512 << 10)).map { UInt8(truncatingIfNeeded: $0 / 7) }
    let writes = try (0..<2).map { try client.startWrite(data, at: UInt64($0) * (512 << 10)) }
    for id in 0..<200 {
      let access = bytes(of: RegionAccess(offset: 0, region: .bar0, count: 4096))
      client.peer.send(message(.regionRead, id: UInt16(id), access))
    }
    var (replies, written) = (0, 0)
    while replies < 200 || written < 2 * data.count {
      let answer = try client.peer.receive()
      if answer.header.command == .regionRead {
        #expect(answer.header.id == UInt16(replies))
        replies += 1
      } else {
        let access = try DMAAccess(decoding: answer.payload.span)
        let start = Int(access.address - MessageClient.base) % data.count
        #expect(Array(answer.payload[16...]) == Array(data[start..<start + Int(access.count)]))
        written += Int(access.count)
        client.peer.send(message(.dmaWrite, id: answer.header.id, flags: .reply))
      }
    }
    for write in writes { try write.get() }
  }
}
