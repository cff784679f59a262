import SystemPackage
import TestSupport
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

/// The client's handler under stress: each request says how it wants to be answered.
final class StressHandler: Sendable {
  static let command = Command(rawValue: 99)

  /// How a request is answered, always with the 8 bytes at an offset of a region, if with bytes.
  enum Service: UInt64, CaseIterable {
    case atOnce
    /// By another thread, in another order.
    case later
    case refuse
    case drop
    /// With a call of the handler's own.
    case afterCalling
    /// By a task that calls.
    case inTask
  }

  private struct State {
    var held: [HeldRequest] = []
    var isOver = false
    var hasEnded = false
  }

  private let client = Monitor<Client?>(nil)
  private let state = Monitor(State())
  private let report: StressReport

  /// Starts the thread that answers later.
  init(_ report: StressReport) throws {
    self.report = report
    try DetachedThread.start("answers") { [state] in
      Self.answerLater(state, report.random(2000))
    }
  }

  /// The client that the handler calls; nil once it must not be called any more.
  func use(_ client: Client?) { self.client.update { $0 = client } }

  /// Waits until nothing is left to be answered.
  func end() -> Bool {
    state.update { $0.isOver = true }
    let hasEnded = state.withLock(when: { $0.hasEnded }, before: .after(.seconds(60))) { _ in true }
    return hasEnded == true
  }

  /// Called for each request.
  func handle(_ request: consuming IncomingRequest) {
    guard request.command == Self.command, request.payload.count == 16,
      let service = Service(rawValue: long(request.payload, at: 0))
    else { return report.addWrong("a request that nobody sent") }
    let offset = long(request.payload, at: 8)
    switch service {
    case .atOnce: request.reply(ScriptedServer.pattern(at: offset, count: 8))
    case .later:
      let held = HeldRequest(request, offset)
      state.update { $0.held.append(held) }
    case .refuse: request.refuse(.overflow)
    case .drop: break
    case .afterCalling:
      let bytes = client.withLock { $0 }.flatMap { try? $0.read(.bar2, at: offset, count: 8) }
      request.reply(bytes ?? [])
    case .inTask:
      let held = HeldRequest(request, offset)
      let client = client.withLock { $0 }
      Task {
        let bytes = try? await client?.read(.bar2, at: offset, count: 8)
        held.reply(bytes ?? [])
      }
    }
  }

  private func long(_ bytes: [UInt8], at offset: Int) -> UInt64 {
    bytes[offset..<offset + 8].reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  private static func answerLater(_ state: Monitor<State>, _ seeded: SplitMix64) {
    var random = seeded
    while true {
      let delay = Duration.microseconds(Int(random.next() % 500))
      _ = state.withLock(when: { $0.isOver }, before: .after(delay)) { _ in }
      let number = random.next()
      let (held, isOver) = state.withLock { state -> (HeldRequest?, Bool) in
        guard !state.held.isEmpty else { return (nil, state.isOver) }
        return (state.held.remove(at: Int(number % UInt64(state.held.count))), false)
      }
      if let held { held.reply(ScriptedServer.pattern(at: held.offset, count: 8)) }
      if isOver { break }
    }
    state.update { $0.hasEnded = true }
  }
}

/// A request that is answered by somebody else than the handler.
final class HeldRequest: Sendable {
  let offset: UInt64
  private let request: Monitor<IncomingRequest?>

  init(_ request: consuming IncomingRequest, _ offset: UInt64) {
    self.offset = offset
    self.request = Monitor(consume request)
  }

  func reply(_ bytes: [UInt8]) {
    guard let request = request.withLock({ $0.take() }) else { return }
    request.reply(bytes)
  }
}
