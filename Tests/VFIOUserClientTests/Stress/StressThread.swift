import TestSupport
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserClient

/// One of the threads that call all the time.
final class StressThread {
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

  func run() {
    while !report.isOver.isOpen {
      do throws(ClientError) {
        try work()
      } catch {
        report.addWrong("thread \(number): \(error)")
      }
    }
  }

  private func work() throws(ClientError) {
    switch random.next() % 11 {
    case 0, 1: try load()
    case 2: try store()
    case 3: try post()
    case 4: try postBytes()
    case 5: try changeWindows()
    case 6: try read()
    case 7: try write()
    case 8: try reset()
    case 9: try describe()
    default: try trigger()
    }
  }

  /// A time that is too short at times, unless too much was given up already.
  private func shortTime() -> Duration? {
    let time = Duration.microseconds(Int(random.next() % 3000))
    return mayGiveUp(client) ? time : nil
  }

  /// Says that a call may run out of time.
  private func orLate(
    _ what: String, _ commands: [Command], _ body: () throws(ClientError) -> Void
  ) throws(ClientError) {
    do throws(ClientError) {
      try report.call(what, body)
    } catch {
      guard case .timedOut(let command) = error.reason, commands.contains(command) else {
        throw error
      }
    }
  }

  private func load() throws(ClientError) {
    let offset = random.next() % 100_000
    let value = try report.call("load") { () throws(ClientError) in
      try client.load(.bar0, at: offset, as: UInt32.self)
    }
    if value != expected(at: offset) { report.addWrong("thread \(number): wrong number") }
  }

  private func store() throws(ClientError) {
    let (value, offset) = (random.next(), random.next() % 4096)
    try report.call("store") { () throws(ClientError) in
      try client.store(value, .bar1, at: offset)
    }
  }

  private func post() throws(ClientError) {
    posted += 1
    let offset = UInt64(number) * 8
    try report.call("post") { () throws(ClientError) in
      try client.post(posted, .bar3, at: offset)
    }
    report.sends(posted, at: offset)
  }

  private func postBytes() throws(ClientError) {
    postedBytes += 1
    let offset = 4096 + UInt64(number) * 8
    let bytes = longs([postedBytes]) + random.bytes(Int(random.next() % 1000))
    try report.call("post bytes") { () throws(ClientError) in
      try client.post(.bar3, at: offset, from: bytes)
    }
    report.sends(postedBytes, at: offset)
  }

  private func read() throws(ClientError) {
    let offset = random.next() % 100_000
    let size = Int(random.next() % 5000)
    let bytes = try report.call("read") { () throws(ClientError) in
      try client.read(.bar0, at: offset, count: size)
    }
    if bytes != ScriptedServer.pattern(at: offset, count: size) {
      report.addWrong("thread \(number): wrong bytes")
    }
  }

  private func write() throws(ClientError) {
    let bytes = random.bytes(700)
    try report.call("write") { () throws(ClientError) in try client.write(.bar4, at: 0, from: bytes)
    }
  }

  private func reset() throws(ClientError) {
    let time = shortTime()
    try orLate("reset", [.deviceReset]) { () throws(ClientError) in try client.reset(timeout: time)
    }
  }

  private func describe() throws(ClientError) {
    let time = shortTime()
    try orLate("region", [.deviceGetRegionInfo]) { () throws(ClientError) in
      let region = try client.region(.bar0, timeout: time)
      if region.size != 0x1000 { report.addWrong("thread \(number): wrong region") }
    }
  }

  private func trigger() throws(ClientError) {
    let isSet = random.next() % 3 != 0
    try report.call("trigger") { () throws(ClientError) in
      try client.setTrigger(.msix, vector: UInt32(number), isSet ? .make() : nil)
    }
  }

  private func changeWindows() throws(ClientError) {
    let base = StressAsker.base(of: number)
    let isShared = random.next() % 2 == 0
    let times = random.next() % 3 == 0 ? (shortTime(), shortTime()) : (nil, nil)
    try orLate("map", [.dmaMap, .dmaUnmap]) { () throws(ClientError) in
      try client.transaction(timeout: times.0) { (changes) throws(ClientError) in
        try memory.map(in: changes, at: base, isShared: isShared)
      }
      try client.transaction(timeout: times.1) { (changes) throws(ClientError) in
        try SharedMemory.unmapPages(in: changes, at: base)
      }
    }
    guard times.0 != nil || times.1 != nil else { return }
    for page in 0..<StressAsker.pages {
      try report.call("unmap what is left") { () throws(ClientError) in
        try orGone { () throws(ClientError) in
          try client.unmap(at: base + page << 12, size: 4096)
        }
      }
    }
  }
}

/// Whether one more call may be given up: a server that the machine gives no time would soon owe so
/// many replies that the connection ends, as it should.
func mayGiveUp(_ client: Client) -> Bool {
  client.supervisor.last.connection.state.withLock { $0.calls.abandonedCount } < 500
}

/// Takes it that a window is gone already.
func orGone(_ body: () throws(ClientError) -> Void) throws(ClientError) {
  do throws(ClientError) {
    try body()
  } catch {
    guard case .badWindow = error.reason else { throw error }
  }
}

extension EventFD {
  /// A new one, for places where only client errors may be thrown.
  fileprivate static func make() throws(ClientError) -> EventFD {
    do throws(SystemCallError) {
      return try EventFD()
    } catch {
      throw .system(error)
    }
  }
}

extension SharedMemory {
  /// What threads and tasks map: pages with the pattern of a plausible device.
  static func withPattern() throws -> SharedMemory {
    let size = StressAsker.pages << 12
    let memory = try SharedMemory(size: size)
    memory.write(at: 0, from: ScriptedServer.pattern(at: 0, count: Int(size)))
    return memory
  }

  func map(
    in changes: MemoryChanges, at base: UInt64, isShared: Bool
  ) throws(ClientError) {
    for page in 0..<StressAsker.pages {
      try changes.map(
        self, at: base + page << 12, size: 4096, offset: page << 12, isShared: isShared)
    }
  }

  static func unmapPages(in changes: MemoryChanges, at base: UInt64) throws(ClientError) {
    for page in 0..<StressAsker.pages { try changes.unmap(at: base + page << 12, size: 4096) }
  }
}
