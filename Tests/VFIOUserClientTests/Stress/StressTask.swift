import TestSupport
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserClient

/// One of the tasks that call all the time, and cancel some of their calls.
struct StressTask {
  private let client: Client
  private let number: Int
  private let report: StressReport
  private var random: SplitMix64
  private let memory: SharedMemory
  private var posted: UInt64 = 0
  private var postedBytes: UInt64 = 0

  init(_ client: Client, _ number: Int, _ report: StressReport, _ memory: SharedMemory) {
    self.client = client
    self.number = number
    self.report = report
    self.memory = memory
    random = report.random(UInt64(number))
  }

  mutating func run() async {
    while !report.isOver.isOpen {
      do {
        try await work()
      } catch {
        report.addWrong("task \(number): \(error)")
      }
    }
  }

  private mutating func work() async throws {
    switch random.next() % 8 {
    case 0, 1: try await read(count: 24)
    case 2: try await read(count: 6000)
    case 3: try await post()
    case 4: try await postBytes()
    case 5: try await changeWindows()
    case 6: try await describe()
    default: try await store()
    }
  }

  /// Carries a call out, and cancels it now and then.
  ///
  /// - Returns: nil when it was cancelled in time.
  private mutating func cancelling<Value: Sendable>(
    _ what: String, _ body: @escaping @Sendable () async throws -> Value
  ) async throws -> Value? {
    report.begin(what)
    defer { report.end() }
    let call = Task { try await body() }
    let isCancelled = random.next() % 3 == 0 && mayGiveUp(client)
    if isCancelled {
      for _ in 0..<random.next() % 8 { await Task.yield() }
      call.cancel()
    }
    do {
      return try await call.value
    } catch {
      guard isCancelled, error as? ClientError == .cancelled else { throw error }
      return nil
    }
  }

  private mutating func read(count: Int) async throws {
    let offset = random.next() % 100_000
    let bytes = try await cancelling("task: read") { [client] in
      try await client.read(.bar2, at: offset, count: count)
    }
    guard let bytes, bytes != ScriptedServer.pattern(at: offset, count: count) else { return }
    report.addWrong("task \(number): wrong bytes")
  }

  private mutating func store() async throws {
    let value = random.next()
    _ = try await cancelling("task: store") { [client] in
      try await client.store(value, .bar1, at: 8)
    }
  }

  private mutating func describe() async throws {
    let region = try await cancelling("task: region") { [client] in
      try await client.region(.bar0)
    }
    if let region, region.size != 0x1000 { report.addWrong("task \(number): wrong region") }
  }

  private mutating func post() async throws {
    posted += 1
    let offset = UInt64(number) * 8
    report.begin("task: post")
    defer { report.end() }
    try await client.post(posted, .bar3, at: offset)
    report.sends(posted, at: offset)
  }

  private mutating func postBytes() async throws {
    postedBytes += 1
    let offset = 4096 + UInt64(number) * 8
    let bytes = longs([postedBytes]) + random.bytes(Int(random.next() % 1000))
    report.begin("task: post bytes")
    defer { report.end() }
    try await client.post(.bar3, at: offset, from: bytes)
    report.sends(postedBytes, at: offset)
  }

  private mutating func changeWindows() async throws {
    let base = StressAsker.base(of: number)
    let isShared = random.next() % 2 == 0
    let mapped: Void? = try await cancelling("task: map") { [client, memory] in
      try await client.transaction { (changes) throws(ClientError) in
        try memory.map(in: changes, at: base, isShared: isShared)
      }
    }
    let unmapped: Void? =
      if mapped == nil {
        nil
      } else {
        try await cancelling("task: unmap") { [client] in
          try await client.transaction { (changes) throws(ClientError) in
            try SharedMemory.unmapPages(in: changes, at: base)
          }
        }
      }
    guard unmapped == nil else { return }
    for page in 0..<StressAsker.pages {
      do {
        try await client.unmap(at: base + page << 12, size: 4096)
      } catch {
        guard case .badWindow = error.reason else { throw error }
      }
    }
  }
}
