import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserClient

@Suite struct `Accesses to regions` {
  @Test func `Region accesses are split into pieces of max_data_xfer_size`() throws {
    let sizes = Notes<UInt32>()
    let client = try client(of: #"{"capabilities":{"max_data_xfer_size":1000}}"#) { server in
      while true {
        let request = try server.receive()
        sizes.add(request.word(at: 12))
        server.answer(request)
      }
    }
    #expect(
      try client.read(.bar0, at: 3, count: 2500) == ScriptedServer.pattern(at: 3, count: 2500))
    try client.write(.bar0, at: 3, from: [UInt8](repeating: 1, count: 2001))
    #expect(sizes.all == [1000, 1000, 500, 1000, 1000, 1])
  }

  @Test func `Region accesses of tasks are split into pieces of max_data_xfer_size`() async throws {
    let client = try client(of: #"{"capabilities":{"max_data_xfer_size":1000}}"#) {
      try $0.serve()
    }
    let bytes = try await client.read(.bar0, at: 3, count: 2500)
    #expect(bytes == ScriptedServer.pattern(at: 3, count: 2500))
    try await client.write(.bar0, at: 3, from: [UInt8](repeating: 1, count: 2001))
  }

  @Test func `Loads and stores are as wide as their integer type, in little endian`() throws {
    let requests = Notes<[UInt8]>()
    let client = try client { server in
      while true {
        let request = try server.receive()
        requests.add(request.payload)
        server.answer(request)
      }
    }
    #expect(try client.load(.bar1, at: 10) == expected(at: 10, as: UInt8.self))
    #expect(try client.load(.bar1, at: 10) == expected(at: 10, as: UInt64.self))
    try client.store(UInt16(0x1234), .bar2, at: 6)
    #expect(
      requests.all == [
        longs([10]) + words([1, 1]), longs([10]) + words([1, 8]),
        longs([6]) + words([2, 2]) + [0x34, 0x12],
      ])
  }

  @Test func `Region accesses of zero bytes succeed`() throws {
    let client = try client { try $0.serve() }
    #expect(try client.read(.bar0, at: 0, count: 0) == [])
    #expect(throws: Never.self) { try client.write(.bar0, at: 0, from: []) }
  }
}

@Suite struct `The description of a region` {
  @Test func `Region info brings its capabilities with the first reply`() throws {
    let client = try client { server in
      let request = try server.receive()
      server.reply(
        to: request, regionWithChain(first: 32, Self.chain), descriptors: descriptors(1))
      try server.serve()
    }
    let region = try client.region(.bar0)
    #expect(region.size == 0x10000)
    #expect(region.mappableAreas == [SparseMapArea(offset: 0x1000, size: 0x2000)])
    #expect(region.capabilities.unknown == [RegionCapabilityID(rawValue: 77)])
  }

  static let chain =
    capability(1, next: 64) + words([1, 0]) + longs([0x1000, 0x2000]) + capability(77, next: 0)

  /// The last ones fill the 64 KiB that are taken, of a client that wants little data at a time.
  @Test(arguments: [40, 4093])
  func `Region info is requested again when its capabilities need more room`(count: Int) throws {
    let rooms = Notes<UInt32>()
    let areas = (0..<count).flatMap { longs([UInt64($0) << 4, 16]) }
    let list = capability(1, next: 0) + words([UInt32(count), 0]) + areas
    let payload = regionWithChain(first: 32, list)
    var options = ClientOptions()
    options.proposal.maxDataTransfer = 4096
    options.maxAccess = 4096
    let client = try client(options) { server in
      let first = try server.receive()
      rooms.add(first.word(at: 0))
      server.reply(to: first, Array(payload[..<32]), descriptors: descriptors(1))
      let second = try server.receive()
      rooms.add(second.word(at: 0))
      server.reply(to: second, payload, descriptors: descriptors(1))
      try server.serve()
    }
    #expect(try client.region(.bar0).mappableAreas.count == count)
    #expect(rooms.all == [256, UInt32(payload.count)])
  }

  @Test func `A region without a descriptor has no mappable areas`() throws {
    let client = try client { server in
      let request = try server.receive()
      server.reply(to: request, words([32, 7, 0, 0, 0x1000, 0, 0, 0]))
      try server.serve()
    }
    #expect(try client.region(.bar0).mappableAreas == [])
  }

  @Test func `A region without a sparse map is mappable as a whole`() throws {
    let client = try client { server in
      let request = try server.receive()
      server.reply(
        to: request, words([32, 7, 0, 0, 0x1000, 0, 0, 0]), descriptors: descriptors(1))
      try server.serve()
    }
    #expect(
      try client.region(.bar0).mappableAreas == [SparseMapArea(offset: 0, size: 0x1000)])
  }
}

@Suite struct `Interrupt triggers` {
  @Test func `Triggers are set in batches of max_msg_fds that are all present or all absent`()
    throws
  {
    let seen = Notes<[UInt32]>()
    let client = try client(of: #"{"capabilities":{"max_msg_fds":3}}"#) { server in
      while true {
        let request = try server.receive()
        seen.add([request.word(at: 12), request.word(at: 16), UInt32(request.descriptorCount)])
        server.answer(request)
      }
    }
    let counters = try (0..<7).map { try $0 == 4 ? nil : EventFD() }
    try client.setTriggers(.msix, start: 10, counters)
    #expect(seen.all == [[10, 3, 3], [13, 1, 1], [14, 1, 0], [15, 2, 2]])
  }

  @Test func `An interrupt arrives through the eventfd that was set as its trigger`() throws {
    let counter = try EventFD()
    let client = try client { server in
      let request = try server.receive()
      if let descriptor = server.takeDescriptor() { EventFD(adopting: descriptor).signal() }
      server.answer(request)
      try server.serve()
    }
    try client.setTrigger(.intx, counter)
    #expect(counter.wait(for: .seconds(10)) == 1)
  }
}

@Suite struct `Reads and writes of any size` {
  @Test func `A large read of a task has several REGION_READ commands in flight`() async throws {
    let client = try client(of: #"{"capabilities":{"max_data_xfer_size":100}}"#) { server in
      // Answers only when as many have come as may be on their way, and backwards.
      for batch in [Client.readsInFlight, Client.readsInFlight, 4] {
        var requests: [ScriptedServer.Message] = []
        while requests.count < batch { requests.append(try server.receive()) }
        for request in requests.reversed() { server.answer(request) }
      }
      try server.serve()
    }
    let count = (2 * Client.readsInFlight + 3) * 100 + 7
    let bytes = try await client.read(.bar0, at: 5, count: count)
    #expect(bytes == ScriptedServer.pattern(at: 5, count: count))
  }

  @Test func `A large read of a task stops at the first failure`() async throws {
    let asked = Notes<UInt64>()
    let client = try client(of: #"{"capabilities":{"max_data_xfer_size":100}}"#) { server in
      while true {
        let request = try server.receive()
        asked.add(request.long(at: 0))
        if request.long(at: 0) == 300 {
          server.reply(to: request, error: 5)
        } else {
          server.answer(request)
        }
      }
    }
    let error = await taskFailure { try await client.read(.bar0, at: 0, count: 100_000) }
    #expect(error == .refused(.regionRead, .ioError))
    #expect(asked.all.count < 500)
    #expect(try await client.load(.bar0, at: 9) == expected(at: 9, as: UInt16.self))
  }

  @Test func `Large posts are split and keep their order with other posts and commands`() throws {
    let gate = Gate()
    let seen = Notes<[UInt64]>()
    let client = try client(
      of: #"{"capabilities":{"max_data_xfer_size":8192,"write_multiple":true}}"#
    ) { server in
      gate.wait()
      var order: [UInt64] = []
      while true {
        let message = try server.receive()
        if message.command == .regionWriteMulti {
          let multi = try RegionWriteMulti(decoding: message.payload.span)
          order += multi.writes.map(\.access.offset)
        } else if message.command == .regionWrite {
          #expect(message.header.flags.contains(.noReply))
          order.append(message.long(at: 0))
        } else {
          seen.add(order)
          server.answer(message)
        }
      }
    }
    var expected: [UInt64] = []
    for round in 0..<50 as Range<UInt64> {
      for number in 0..<300 as Range<UInt64> {
        try client.post(UInt32(1), .bar0, at: round << 20 | number)
        expected.append(round << 20 | number)
      }
      try client.post(
        .bar0, at: round << 20 | 0x10000, from: [UInt8](repeating: 1, count: 10_000))
      expected += [round << 20 | 0x10000, round << 20 | 0x12000]
    }
    let done = try Later { try? client.deviceInfo() }
    gate.open()
    #expect(try done.get() != nil)
    #expect(seen.all == [expected])
  }

  @Test func `Loads, stores and posts of tasks are as wide as their integer type`() async throws {
    let requests = Notes<[UInt8]>()
    let client = try client { server in
      while true {
        let request = try server.receive()
        requests.add(request.payload)
        server.answer(request)
      }
    }
    #expect(try await client.load(.bar1, at: 10) == expected(at: 10, as: UInt64.self))
    try await client.store(UInt16(0x1234), .bar2, at: 6)
    try await client.store(Int8(-2), .bar2, at: 6)
    try await client.post(UInt32(0x0403_0201), .bar2, at: 8)
    try await client.post(.bar2, at: 9, from: [7])
    _ = try await client.deviceInfo()
    #expect(
      requests.all.prefix(5) == [
        longs([10]) + words([1, 8]), longs([6]) + words([2, 2]) + [0x34, 0x12],
        longs([6]) + words([2, 1]) + [0xFE], longs([8]) + words([2, 4]) + [1, 2, 3, 4],
        longs([9]) + words([2, 1]) + [7],
      ])
  }
}
