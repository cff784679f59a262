import Glibc
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserClient

/// How long the stress test runs; `VFIO_USER_STRESS_SECONDS` says otherwise.
private var duration: Duration {
  guard let text = unsafe getenv("VFIO_USER_STRESS_SECONDS") else { return .seconds(2) }
  return .seconds(Int(unsafe String(cString: text)) ?? 2)
}

@Suite struct `Under stress` {
  @Test func `every thread and task gets its own answers, and the server its own`() async throws {
    let wrong = Notes<String>()
    let isOver = Gate()
    let transfers = Notes<Int>()
    let client = try client(options(timeout: .seconds(60))) { server in
      let stress = StressServer(server, wrong, isOver)
      try stress.run()
      transfers.add(stress.transfers)
    }
    let memory = try SharedMemory(size: 2 * StressServer.half)
    memory.write(ScriptedServer.pattern(at: 0, count: Int(StressServer.half)), at: 0)
    try await client.map(memory, at: 0, size: 2 * StressServer.half, isShared: false)
    let done = Monitor([Int](repeating: 0, count: 16))
    let end = ContinuousClock.now + duration
    let threads = try Later {
      try? onThreads(16) { number in
        let worker = Worker(client, number, wrong)
        while ContinuousClock.now < end { worker.work() }
        done.withLock { $0[number] = worker.count }
      }
    }
    await callAsTasks(client, until: end, wrong)
    while !threads.isDone { try await Task.sleep(for: .milliseconds(5)) }
    isOver.open()
    // Not all of them: a lost connection fails many thousands of calls.
    #expect(wrong.all.prefix(20) == [])
    #expect(!done.withLock { $0.contains(0) })
    #expect(try await client.deviceInfo().regionCount == 9)
    let state = client.link.last.connection.state
    #expect(state.withLock { $0.calls.inFlight } == 0)
    #expect(state.withLock { $0.asyncCalls.count } == 0)
    #expect(state.withLock { $0.backgroundUsers } == 1)
    #expect(state.withLock { $0.firstAsleep } == -1)
    client.disconnect()
    #expect((transfers.wait(for: 1).first ?? 0) > 0)
  }
}

/// Four tasks that call, and cancel some of their calls.
private func callAsTasks(
  _ client: Client, until end: ContinuousClock.Instant, _ wrong: Notes<String>
) async {
  await withTaskGroup(of: Void.self) { group in
    for number in 0..<4 {
      group.addTask { await callAsTask(client, UInt64(number), until: end, wrong) }
    }
  }
}

private func callAsTask(
  _ client: Client, _ seed: UInt64, until end: ContinuousClock.Instant, _ wrong: Notes<String>
) async {
  var random = SplitMix64(seed: seed)
  while ContinuousClock.now < end {
    let offset = random.next() % 100_000
    let call = Task { try await client.read(.bar2, at: offset, count: 24) }
    if random.next() % 3 == 0, mayGiveUp(client) {
      for _ in 0..<random.next() % 8 { await Task.yield() }
      call.cancel()
    }
    do {
      let bytes = try await call.value
      if bytes != ScriptedServer.pattern(at: offset, count: 24) { wrong.add("task: wrong bytes") }
    } catch {
      if error as? ClientError != .cancelled { wrong.add("task: \(error)") }
    }
  }
}

/// Whether one more call may be given up: a server that the machine gives no time would soon owe so
/// many replies that the connection ends, as it should.
private func mayGiveUp(_ client: Client) -> Bool {
  client.link.last.connection.state.withLock { $0.calls.abandonedCount } < 500
}

/// What one of the threads does, again and again.
private final class Worker {
  private let client: Client
  private let number: Int
  private let wrong: Notes<String>
  private var random: SplitMix64
  private let memory: SharedMemory?
  private(set) var count = 0

  init(_ client: Client, _ number: Int, _ wrong: Notes<String>) {
    self.client = client
    self.number = number
    self.wrong = wrong
    random = SplitMix64(seed: UInt64(number) + 99)
    memory = try? SharedMemory(size: 1 << 16)
  }

  func work() {
    count += 1
    do throws(ClientError) {
      switch number % 8 {
      case 0, 1: try load()
      case 2: try client.store(random.next(), .bar1, at: random.next() % 4096)
      case 3: try client.post(UInt64(count), .bar3, at: UInt64(number) * 8)
      case 4: try changeWindows()
      case 5: try read()
      case 6: try client.write(.bar4, at: random.next() % 4096, random.bytes(700))
      default: runOutOfTime()
      }
    } catch {
      wrong.add("thread \(number): \(error)")
    }
    // Thousands of posted writes a second would leave room for nothing else.
    if number % 8 == 3, count % 16 == 0 { _ = eventually(within: .milliseconds(1)) { false } }
  }

  private func load() throws(ClientError) {
    let offset = random.next() % 100_000
    let value: UInt32 = try client.load(.bar0, at: offset)
    if value != expected(at: offset) { wrong.add("thread \(number): wrong number") }
  }

  private func read() throws(ClientError) {
    let offset = random.next() % 100_000
    let size = Int(random.next() % 3000)
    let bytes = try client.read(.bar0, at: offset, count: size)
    if bytes != ScriptedServer.pattern(at: offset, count: size) {
      wrong.add("thread \(number): wrong bytes")
    }
  }

  private func changeWindows() throws(ClientError) {
    guard let memory else { return }
    let base = UInt64(number + 1) << 32
    try client.transaction { (changes) throws(ClientError) in
      for page in 0..<8 as Range<UInt64> {
        try changes.map(memory, at: base + page << 12, size: 4096, offset: page << 12)
      }
    }
    try client.transaction { (changes) throws(ClientError) in
      for page in 0..<8 as Range<UInt64> { try changes.unmap(at: base + page << 12, size: 4096) }
    }
  }

  private func runOutOfTime() {
    let time: Duration? = mayGiveUp(client) ? .microseconds(Int(random.next() % 3000)) : nil
    let error = failure { () throws(ClientError) in try client.reset(timeout: time) }
    if let error, error != .timedOut(.deviceReset) { wrong.add("thread \(number): \(error)") }
  }
}
