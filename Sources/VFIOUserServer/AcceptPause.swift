internal import LinuxPrimitives
internal import Logging

/// A pause in accepting clients, because descriptors or memory are short.
///
/// Callers stay in the queue of the listener, which must not be polled meanwhile: it would be readable all
/// the time. A shortage is logged once, even if it needs several pauses.
struct AcceptPause {
  private var end: Deadline?
  private var isShort = false
  private let logger: Logger

  /// Length of a pause.
  private static let length: Duration = .milliseconds(100)

  init(logger: Logger) { self.logger = logger }

  /// The end of the pause; never if there is none.
  var deadline: Deadline { end ?? .never }

  /// Whether there is a pause.
  var isOn: Bool { end != nil }

  /// Ends the pause if its time is over.
  ///
  /// - Returns: whether this call has ended it.
  mutating func endIfDue() -> Bool {
    guard let end, end.hasPassed else { return false }
    self.end = nil
    return true
  }

  /// Begins a pause, because of a shortage.
  mutating func begin(_ reason: String) {
    end = .after(Self.length)
    guard !isShort else { return }
    isShort = true
    logger.error("no more clients are accepted for now", metadata: ["reason": "\(reason)"])
  }

  /// Notes that a client was accepted: the shortage is over.
  mutating func accepted() {
    guard isShort else { return }
    isShort = false
    logger.notice("clients are accepted again")
  }
}
