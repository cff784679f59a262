import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserClient

/// A client whose server answers VERSION and then follows a script.
func client(
  _ options: ClientOptions = ClientOptions(), of json: String = ScriptedServer.usualCapabilities,
  script: @escaping @Sendable (ScriptedServer) throws -> Void
) throws -> Client {
  let running = try RunningScript { server in
    try server.agree(json)
    try script(server)
  }
  return try Client(running.clientEnd, options: options)
}

/// Most bytes of a message that a client takes unless it was told otherwise: a header, and of what may be
/// in front of a megabyte the largest, a report of dirty pages.
let usualMessageLimit = 16 + (8 + 24) + (1 << 20)

/// Little-endian words.
func words(_ words: [UInt32]) -> [UInt8] {
  words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * UInt32($0))) } }
}

/// Little-endian longs.
func longs(_ longs: [UInt64]) -> [UInt8] {
  longs.flatMap { long in (0..<8).map { UInt8(truncatingIfNeeded: long >> (8 * UInt64($0))) } }
}

/// Descriptors that can be told from others.
func descriptors(_ count: Int) -> DescriptorList {
  var list = DescriptorList()
  for _ in 0..<count { list.append(taggedDescriptor(4096)) }
  return list
}

/// Options with another time-out.
func options(timeout: Duration) -> ClientOptions {
  var options = ClientOptions()
  options.timeout = timeout
  return options
}

/// What a plausible device has at an offset.
func expected<Number: FixedWidthInteger>(
  at offset: UInt64, as type: Number.Type = Number.self
) -> Number {
  ScriptedServer.pattern(at: offset, count: MemoryLayout<Number>.size).reversed()
    .reduce(0) { $0 << 8 | Number(truncatingIfNeeded: $1) }
}

/// Runs a body on several threads and waits for all of them.
func onThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) throws {
  let left = Monitor(count)
  for number in 0..<count {
    try DetachedThread.start("test") {
      body(number)
      left.update { $0 -= 1 }
    }
  }
  let isDone = left.withLock(when: { $0 == 0 }, before: .after(.seconds(120))) { _ in true }
  #expect(isDone == true)
}

/// A thread whose result is fetched later.
final class Later<Value: Sendable>: Sendable {
  private let value = Monitor<Value?>(nil)

  init(_ body: @escaping @Sendable () -> Value) throws {
    let value = value
    try DetachedThread.start("later") {
      let result = body()
      value.update { $0 = result }
    }
  }

  /// Waits for it.
  func get() throws -> Value {
    let result = value.withLock(when: { $0 != nil }, before: .after(.seconds(60))) { $0 }
    return try #require(result ?? nil)
  }

  var isDone: Bool { value.withLock { $0 != nil } }
}

/// What an operation fails with, nil when it does not.
func failure(_ body: () throws(ClientError) -> Void) -> ClientError? {
  do throws(ClientError) {
    try body()
    return nil
  } catch {
    return error
  }
}

/// Collects what tests want to know of other threads.
final class Notes<Note: Sendable>: Sendable {
  private let notes = Monitor<[Note]>([])

  func add(_ note: Note) { notes.update { $0.append(note) } }
  var all: [Note] { notes.withLock { $0 } }

  /// Waits until there are so many.
  func wait(for count: Int) -> [Note] {
    notes.withLock(when: { $0.count >= count }, before: .after(.seconds(60))) { $0 } ?? all
  }
}

/// A gate that threads wait at until it is opened.
final class Gate: Sendable {
  private let state = Monitor(false)

  func open() { state.update { $0 = true } }

  var isOpen: Bool { state.withLock { $0 } }

  /// Waits without holding a thread.
  func opens() async -> Bool {
    let end = ContinuousClock.now + .seconds(60)
    while !isOpen, ContinuousClock.now < end { try? await Task.sleep(for: .milliseconds(2)) }
    return isOpen
  }

  /// Suspends the task until the gate is open.
  ///
  /// Sleeping, not yielding: tasks that yield in a loop keep the few threads of the pool from those
  /// that would open the gate.
  func opened() async throws {
    let end = ContinuousClock.now + .seconds(60)
    while !isOpen {
      guard ContinuousClock.now < end else { throw GateStaysClosed() }
      try await Task.sleep(for: .milliseconds(1))
    }
  }

  private struct GateStaysClosed: Error {}

  @discardableResult
  func wait() -> Bool {
    state.withLock(when: { $0 }, before: .after(.seconds(120))) { _ in true } ?? false
  }
}
