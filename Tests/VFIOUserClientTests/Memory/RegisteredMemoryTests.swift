import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

/// A request of the server for memory, and what it gets.
struct MemoryRequest: CustomTestStringConvertible, Sendable {
  enum Outcome: Equatable, Sendable {
    case bytes([UInt8])
    case written
    case refused(Errno)
  }

  let testDescription: String
  let command: Command
  let payload: [UInt8]
  let outcome: Outcome

  init(_ name: String, _ command: Command, _ payload: [UInt8], _ outcome: Outcome) {
    testDescription = name
    self.command = command
    self.payload = payload
    self.outcome = outcome
  }

  /// Which socket the request comes on, and what the client does meanwhile.
  enum Way: CaseIterable, Sendable {
    case mainWhileNobodyWaits
    case mainWhileACallerWaits
    case twinWhileNobodyWaits
    case twinWhileACallerWaits

    var usesTwin: Bool { self == .twinWhileNobodyWaits || self == .twinWhileACallerWaits }
    var hasCaller: Bool { self == .mainWhileACallerWaits || self == .twinWhileACallerWaits }
  }
}

/// The byte that test memory has at an address.
private func byte(at address: UInt64) -> UInt8 { UInt8(truncatingIfNeeded: address &* 31 &+ 5) }

private func bytes(at address: UInt64, _ count: Int) -> [UInt8] {
  (0..<count).map { byte(at: address &+ UInt64($0)) }
}

private let page: UInt64 = 4096
private let top: UInt64 = .max - 4095

/// Pages 1 and 2 for all, 3 to read, 4 not at all, 5 to write, and the very last one.
private let windows: [(address: UInt64, flags: DMAMapFlags)] = [
  (2 * page, [.readable, .writable]), (page, [.readable, .writable]), (top, .readable),
  (3 * page, .readable), (5 * page, .writable),
]

@Suite struct `Registered memory` {
  static let requests: [MemoryRequest] = [
    .init(
      "a read inside of a window", .dmaRead, longs([page + 7, 100]),
      .bytes(bytes(at: page + 7, 100))),
    .init("a read of nothing", .dmaRead, longs([page, 0]), .bytes([])),
    .init(
      "a read of a whole window", .dmaRead, longs([page, page]), .bytes(bytes(at: page, 4096))),
    .init(
      "a read across two windows", .dmaRead, longs([2 * page - 16, 32]),
      .bytes(bytes(at: 2 * page - 16, 32))),
    .init(
      "a read across three windows", .dmaRead, longs([2 * page - 1, page + 2]),
      .bytes(bytes(at: 2 * page - 1, 4098))),
    .init("a read of the last byte", .dmaRead, longs([.max, 1]), .bytes(bytes(at: .max, 1))),
    .init("a write inside of a window", .dmaWrite, longs([page + 3, 2]) + [1, 2], .written),
    .init("a write across two windows", .dmaWrite, longs([2 * page - 1, 2]) + [1, 2], .written),
    .init(
      "a write where only writing is allowed", .dmaWrite, longs([5 * page, 1]) + [1], .written),
    .init(
      "a write where only reading is allowed", .dmaWrite, longs([3 * page, 1]) + [1],
      .refused(.permissionDenied)),
    .init(
      "a write that ends where only reading is allowed", .dmaWrite,
      longs([3 * page - 1, 2]) + [1, 2], .refused(.permissionDenied)),
    .init(
      "a read where only writing is allowed", .dmaRead, longs([5 * page, 1]),
      .refused(.permissionDenied)),
    .init("a read below all windows", .dmaRead, longs([0, 4]), .refused(.badAddress)),
    .init("a read into a hole", .dmaRead, longs([4 * page - 1, 2]), .refused(.badAddress)),
    .init("a read in a hole", .dmaRead, longs([4 * page, 1]), .refused(.badAddress)),
    .init("a read from below", .dmaRead, longs([page - 1, 2]), .refused(.badAddress)),
    .init(
      "a read above all windows but the last", .dmaRead, longs([1 << 40, 1]), .refused(.badAddress)),
    .init("a read past 2^64", .dmaRead, longs([.max, 2]), .refused(.invalidArgument)),
    .init(
      "a read of more than was agreed", .dmaRead, longs([page, 1 << 20 + 1]),
      .refused(.argListTooLong)),
    .init("a read of 2^64 - 1 bytes", .dmaRead, longs([page, .max]), .refused(.argListTooLong)),
    .init("half a read", .dmaRead, longs([page]), .refused(.invalidArgument)),
    .init("a read with data", .dmaRead, longs([page, 1]) + [0], .refused(.invalidArgument)),
    .init(
      "a write with too little data", .dmaWrite, longs([page, 2]) + [0], .refused(.invalidArgument)),
    .init(
      "a write with too much data", .dmaWrite, longs([page, 1]) + [0, 0], .refused(.invalidArgument)
    ),
  ]

  @Test(arguments: MemoryRequest.Way.allCases)
  func `DMA requests of the server are answered from registered memory`(_ way: MemoryRequest.Way)
    throws
  {
    let answers = Notes<ScriptedServer.Message>()
    let client = try clientWithTwin { server, twin in
      for _ in windows { server.answer(try server.receive()) }
      let caller = way.hasCaller ? try server.receive() : nil
      for (id, request) in Self.requests.enumerated() {
        let asked = message(request.command, id: UInt16(id), request.payload)
        answers.add(try (way.usesTwin ? twin : server).ask(asked))
      }
      if let caller { server.answer(caller) }
      try server.serve()
    }
    let memory = try register(client)
    if way.hasCaller { #expect(try client.deviceInfo().regionCount == 9) }
    let all = answers.wait(for: Self.requests.count)
    try #require(all.count == Self.requests.count)
    for (id, (request, answer)) in zip(Self.requests, all).enumerated() {
      check(request, answer, id)
    }
    #expect(memory[1].read(at: 3, count: 2) == [1, 2])
    #expect(memory[1].read(at: page - 1, count: 1) == [1])
    #expect(memory[0].read(at: 0, count: 1) == [2])
    // What was refused has left no trace.
    #expect(memory[0].read(at: page - 1, count: 1) == bytes(at: 3 * page - 1, 1))
    #expect(memory[3].read(at: 0, count: 1) == bytes(at: 3 * page, 1))
  }

  private func register(_ client: Client) throws -> [SharedMemory] {
    try windows.map { window in
      let memory = try SharedMemory(size: page)
      memory.write(at: 0, from: bytes(at: window.address, 4096))
      try client.map(memory, at: window.address, size: page, window.flags, isShared: false)
      return memory
    }
  }

  private func check(_ request: MemoryRequest, _ answer: ScriptedServer.Message, _ id: Int) {
    let name = Comment(rawValue: request.testDescription)
    #expect(Int(answer.header.id) == id, name)
    #expect(answer.command == request.command, name)
    switch request.outcome {
    case .bytes(let bytes):
      #expect(answer.header.flags == .reply, name)
      #expect(answer.payload == request.payload + bytes, name)
    case .written:
      #expect(answer.header.flags == .reply, name)
      #expect(answer.payload == Array(request.payload.prefix(16)), name)
    case .refused(let errno):
      #expect(answer.header.error == UInt32(errno.rawValue), name)
      #expect(answer.header.flags == [.reply, .error], name)
      #expect(answer.payload == [], name)
    }
  }

  @Test func `A DMA_WRITE with No_reply is carried out without a reply`() throws {
    let answers = Notes<UInt16>()
    let client = try client { server in
      server.answer(try server.receive())
      server.send(message(.dmaWrite, id: 1, flags: .noReply, longs([0, 1]) + [9]))
      server.send(message(.dmaWrite, id: 2, flags: .noReply, longs([page, 1]) + [9]))
      answers.add(try server.ask(message(.dmaRead, id: 3, longs([0, 1]))).header.id)
      try server.serve()
    }
    let memory = try SharedMemory(size: page)
    try client.map(memory, at: 0, size: page, isShared: false)
    #expect(answers.wait(for: 1) == [3])
    #expect(memory.read(at: 0, count: 1) == [9])
  }
}
