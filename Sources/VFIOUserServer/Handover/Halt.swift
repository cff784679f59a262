internal import LinuxPrimitives
internal import Synchronization
internal import VFIOUserTransport

/// A stop of the service of one device, so that another process can go on with it.
///
/// The thread that halts the device (the *coordinator*) asks; the session's thread, which alone knows its session,
/// answers. First the session *rests*: commands are parked, replies are delivered, so that the device can end what
/// it has begun. When the device is suspended, the session writes its record and waits. The coordinator can end the halt
/// at any time; then the session goes on as if nothing had been.
final class Halt: Sendable {
  enum Phase: Equatable {
    /// No halt.
    case none
    /// The session has to rest.
    case wanted
    case resting
    /// The session has to write its record.
    case recording
    case recorded
  }

  private struct State {
    /// Of the halt; one may follow another before the session has seen the end of the first.
    var number: UInt64 = 0
    var phase = Phase.none
    var record: SessionRecord?
    var failure: HandoverError?
  }

  private let state = Monitor(State())
  private let wanted = Atomic(false)
  /// The session's thread.
  let thread = InterruptibleThread()

  /// Whether the session has to rest; for a look at each turn of the session.
  var isWanted: Bool { wanted.load(ordering: .acquiring) }

  /// The number and phase of the present halt.
  var present: (number: UInt64, phase: Phase) { state.withLock { ($0.number, $0.phase) } }

  // MARK: The coordinator

  /// Asks the session to rest.
  func begin() {
    state.update { $0 = State(number: $0.number + 1, phase: .wanted) }
    wanted.store(true, ordering: .releasing)
  }

  /// Asks a resting session for its record.
  func demandRecord() { state.update { if $0.phase == .resting { $0.phase = .recording } } }

  /// Waits until the session has come so far, a moment at most.
  ///
  /// - Throws: why the session cannot come so far.
  func waitBriefly(for goal: Phase) throws(HandoverError) -> Bool {
    let isThere: Bool? = try state.withLock(
      when: { $0.phase == goal || $0.failure != nil }, before: .after(.milliseconds(1))
    ) { state throws(HandoverError) in
      if let failure = state.failure { throw failure }
      return true
    }
    return isThere ?? false
  }

  /// Takes the record of a session that has written one.
  func takeRecord() -> SessionRecord? { state.withLock { $0.record.take() } }

  /// The session goes on.
  func end() {
    wanted.store(false, ordering: .releasing)
    state.update { $0 = State(number: $0.number) }
  }

  // MARK: The session

  /// The session rests in a halt.
  func rest(in number: UInt64) {
    update(number) { if $0.phase == .wanted { $0.phase = .resting } }
  }

  /// The session cannot be handed over, and waits for the end of the halt.
  func refuse(_ failure: HandoverError, in number: UInt64) {
    update(number) { $0.failure = failure }
  }

  func record(_ record: SessionRecord, in number: UInt64) {
    update(number) { state in
      state.record = record
      state.phase = .recorded
    }
  }

  private func update(_ number: UInt64, _ body: (inout State) -> Void) {
    state.update { if $0.number == number, $0.phase != .none { body(&$0) } }
  }

  /// Waits for the end of a halt.
  func waitForEnd(of number: UInt64) {
    _ = state.withLock(when: { $0.phase == .none || $0.number != number }) { _ in }
  }
}
