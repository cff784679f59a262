import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

private let get: UInt32 = 1 << 16
private let set: UInt32 = 1 << 17
private let probe: UInt32 = 1 << 18

/// A client of a server that answers features with these payloads, one after the other.
private func client(
  answering payloads: [[UInt8]], _ requests: Notes<[UInt8]> = Notes()
) throws -> Client {
  try client { server in
    for payload in payloads {
      let request = try server.receive()
      requests.add(request.payload)
      server.reply(to: request, payload)
    }
    try server.serve()
  }
}

@Suite struct `Device features` {
  @Test func `A client gets and sets a device feature`() throws {
    let requests = Notes<[UInt8]>()
    let client = try client(
      answering: [words([12, 77 | get, 5]), words([8, 77 | set]), words([12, 77 | set, 6])],
      requests)
    let feature = FeatureIndex(rawValue: 77)
    #expect(try client.feature(feature, [1, 2, 3, 4], room: 100) == [5, 0, 0, 0])
    #expect(try client.setFeature(feature, [9, 9]) == [])
    #expect(try client.setFeature(feature, [9, 9, 9, 9]) == [6, 0, 0, 0])
    #expect(
      requests.all == [
        words([108, 77 | get]) + [1, 2, 3, 4], words([10, 77 | set]) + [9, 9],
        words([12, 77 | set]) + [9, 9, 9, 9],
      ])
  }

  @Test(arguments: [Errno.notSupported, .noFunction, .invalidArgument])
  func `A probe that fails with ENOTSUP, ENOSYS or EINVAL means that a feature is unsupported`(
    errno: Errno
  ) async throws {
    let client = try client { server in
      for _ in 0..<2 {
        server.reply(to: try server.receive(), error: UInt32(errno.rawValue))
      }
      let request = try server.receive()
      server.reply(to: request, words([8, 1 | get | probe]))
      server.reply(to: try server.receive(), error: 16)
      try server.serve()
    }
    let onThread = try Later { (try? client.supports(.migration, .get)) }
    #expect(try onThread.get() == false)
    #expect(try await !client.supports(.migration, .get))
    #expect(try await client.supports(.migration, .get))
    let error = await taskFailure { () async throws in
      _ = try await client.supports(.migration, .get)
    }
    #expect(error == .refused(.deviceFeature, .resourceBusy))
  }

  @Test(
    arguments: [
      words([12, 78 | get, 5]), words([12, 77 | set, 5]), words([12, 77 | get | probe, 5]),
      words([12, 77 | get | set | probe, 5]),
    ])
  func `A DEVICE_FEATURE reply for another feature or operation is refused`(payload: [UInt8]) throws
  {
    let client = try client(answering: [payload])
    guard
      case .implausibleReply(.deviceFeature, _) = failure({ () throws(ClientError) in
        _ = try client.feature(FeatureIndex(rawValue: 77))
      })?.reason
    else {
      Issue.record("it was taken")
      return
    }
  }

  @Test func `Feature data may fill the largest message, and no more room is requested`() throws {
    let size = 24 + 1 << 20
    let data = ScriptedServer.pattern(at: 0, count: size)
    let requests = Notes<[UInt8]>()
    let client = try client(
      answering: [words([UInt32(8 + size), 77 | get]) + data], requests)
    #expect(try client.feature(FeatureIndex(rawValue: 77), room: 3 << 20) == data)
    #expect(requests.all == [words([UInt32(8 + size), 77 | get])])
  }

  @Test func `Feature data that exceeds the requested room is refused`() throws {
    let client = try client(answering: [words([16, 77 | get, 1, 2])])
    #expect(
      throws: ClientError.implausibleReply(
        .deviceFeature, "16 bytes, at most 12 were expected")
    ) { try client.feature(FeatureIndex(rawValue: 77), room: 4) }
  }
}

@Suite struct `Migration` {
  @Test func `A client reads migration flags, sets migration states and transfers data`() throws {
    let requests = Notes<[UInt8]>()
    let client = try client(
      answering: [
        words([16, 1 | get, 5, 0]), words([16, 2 | get, 2, 0]), words([8, 2 | set]),
        words([13, 5]) + [1, 2, 3, 4, 5], words([8, 0]), [],
      ], requests)
    #expect(try client.migrationFlags() == [.stopCopy, .preCopy])
    #expect(try client.migrationState() == .running)
    try client.setMigrationState(.stopCopy)
    #expect(try client.readMigrationData(16) == [1, 2, 3, 4, 5])
    #expect(try client.readMigrationData() == [])
    try client.writeMigrationData([7, 8])
    #expect(
      requests.all == [
        words([16, 1 | get]), words([16, 2 | get]), words([16, 2 | set, 3, 0]),
        words([24, 16]), words([8 + 1 << 20, 1 << 20]), words([10, 2]) + [7, 8],
      ])
  }

  @Test func `Migration data is written and read in pieces of at most max_data_xfer_size`()
    async throws
  {
    let sizes = Notes<UInt32>()
    let client = try client(of: #"{"capabilities":{"max_data_xfer_size":100}}"#) { server in
      for _ in 0..<3 {
        let request = try server.receive()
        sizes.add(request.word(at: 4))
        server.reply(to: request)
      }
      let request = try server.receive()
      sizes.add(request.word(at: 4))
      server.reply(to: request, words([8, 0]))
      try server.serve()
    }
    try await client.writeMigrationData([UInt8](repeating: 1, count: 250))
    #expect(try await client.readMigrationData(1 << 30) == [])
    #expect(sizes.all == [100, 100, 50, 100])
  }

  @Test(
    arguments: [
      words([16, 9]) + [1, 2, 3, 4, 5, 6, 7, 8], words([16, .max]) + [1, 2, 3, 4, 5, 6, 7, 8],
      words([8]), [],
    ])
  func `A MIG_DATA_READ reply that is shorter than its size field says is refused`(payload: [UInt8])
    throws
  {
    let client = try client(answering: [payload])
    guard
      case .malformedReply(.migrationDataRead, _) = failure({ () throws(ClientError) in
        _ = try client.readMigrationData(8)
      })?.reason
    else {
      Issue.record("it was taken")
      return
    }
  }

  @Test func `Bytes beyond the size in a MIG_DATA_READ reply are ignored, as with libvfio-user`()
    throws
  {
    let full: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8]
    let client = try client(answering: [words([15, 7]) + full, words([8, 0]) + full])
    #expect(try client.readMigrationData(8) == [1, 2, 3, 4, 5, 6, 7])
    #expect(try client.readMigrationData(8) == [])
  }

  @Test func `A MIG_DATA_READ reply with more data than requested is refused`() throws {
    let client = try client(answering: [words([17, 9]) + [UInt8](repeating: 1, count: 9)])
    #expect(
      throws: ClientError.implausibleReply(
        .migrationDataRead, "17 bytes, at most 16 were expected")
    ) { try client.readMigrationData(8) }
  }
}

@Suite struct `Dirty pages` {
  static let range = DMALoggingRange(address: 0x10000, length: 0x40000)

  @Test func `Dirty page logging is started, reported and stopped`() throws {
    let report = longs([0x10000, 0x40000, 4096])
    let client = try client(answering: [
      words([8 + 32, 6 | set]) + longs([8192, 1, 0x10000, 0x40000]), words([8, 6 | set]),
      words([8 + 32, 8 | get]) + report + longs([0x8000_0000_0000_0001]), words([8, 7 | set]),
    ])
    #expect(try client.startDMALogging(pageSize: 4096, [Self.range]) == 8192)
    #expect(try client.startDMALogging(pageSize: 4096) == 4096)
    #expect(
      try client.dirtyPages(Self.range, pageSize: 4096) == [1, 0, 0, 0, 0, 0, 0, 0x80])
    try client.stopDMALogging()
  }

  @Test(
    arguments: [
      longs([0x10000, 0x40000, 8192]) + longs([1]), longs([0, 0x40000, 4096]) + longs([1]),
      longs([0x10000, 0x40000, 4096]), longs([0x10000, 0x40000, 4097]) + longs([1]),
      longs([0x10000, 0x40000, 4096]) + [1],
    ])
  func `A dirty page report that does not match the request is refused`(payload: [UInt8]) throws {
    let client = try client(answering: [
      words([UInt32(8 + payload.count), 8 | get]) + payload
    ])
    switch failure({ () throws(ClientError) in
      _ = try client.dirtyPages(Self.range, pageSize: 4096)
    })?.reason {
    case .implausibleReply(.deviceFeature, _), .malformedReply(.deviceFeature, _): break
    case let error: Issue.record("\(String(describing: error))")
    }
    #expect(try client.deviceInfo().regionCount == 9)
  }

  @Test(
    arguments: [
      (0x1000, 4097), (0x1000, 0), (UInt64.max, 1), (1 << 40, 4096), (UInt64.max, 1 << 63),
    ] as [(UInt64, UInt64)])
  func `A dirty page request with an invalid range or page size fails`(
    _ length: UInt64, _ pageSize: UInt64
  ) throws {
    let client = try client(of: #"{"capabilities":{"max_data_xfer_size":65536}}"#) {
      try $0.serve()
    }
    let error = failure { () throws(ClientError) in
      _ = try client.dirtyPages(
        DMALoggingRange(address: 0, length: length), pageSize: pageSize)
    }
    if pageSize == 1 << 63 {
      #expect(error == .malformedReply(.deviceFeature, .truncated(needed: 8, had: 0)))
      return
    }
    guard case .badRange = error?.reason else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  /// 32 GiB in pages of 4 KiB, which a VMM asks for, is a whole megabyte.
  @Test(arguments: [(1 << 20) - 8, 1 << 20])
  func `A dirty page bitmap may fill the largest message`(size: Int) async throws {
    let range = DMALoggingRange(address: 0, length: UInt64(size) * 8 * 4096)
    let bitmap = ScriptedServer.pattern(at: 3, count: size)
    let answer =
      words([UInt32(8 + 24 + size), 8 | get]) + longs([0, range.length, 4096]) + bitmap
    let client = try client(answering: [answer, answer])
    let onThread = try Later { try? client.dirtyPages(range, pageSize: 4096) }
    #expect(try onThread.get() == bitmap)
    #expect(try await client.dirtyPages(range, pageSize: 4096) == bitmap)
  }

  @Test func `A dirty page bitmap larger than a message is not requested`() throws {
    let client = try client { try $0.serve() }
    let error = failure { () throws(ClientError) in
      _ = try client.dirtyPages(
        DMALoggingRange(address: 0, length: 32 << 30 + 1), pageSize: 4096)
    }
    guard case .badRange = error?.reason else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  @Test func `A reply with an invalid page size for dirty page logging is refused`() throws {
    let client = try client(answering: [
      words([8 + 16, 6 | set]) + longs([4097, 0])
    ])
    #expect(
      throws: ClientError.implausibleReply(.deviceFeature, "it logs pages of 4097 bytes")
    ) { try client.startDMALogging(pageSize: 4096) }
  }
}
