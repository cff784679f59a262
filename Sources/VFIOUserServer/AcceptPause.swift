internal import LinuxPrimitives
internal import Logging

/// A while in which nobody is accepted, because something is short that every client takes.
///
/// The callers stay in the queue of the socket, so polling it would only say so again. A shortage is logged once,
/// however long it lasts.
struct AcceptPause {
  private var end: Deadline?
  private var isShort = false
  private let logger: Logger

  /// How long nobody is accepted.
  private static let length: Duration = .milliseconds(100)

  init(logger: Logger) { self.logger = logger }

  /// When accepting goes on; never when it has not stopped.
  var deadline: Deadline { end ?? .never }

  /// Whether nobody is accepted now.
  var isOn: Bool { end != nil }

  /// Ends when its time has come.
  ///
  /// - Returns: whether it has ended with this call.
  mutating func endIfDue() -> Bool {
    guard let end, end.hasPassed else { return false }
    self.end = nil
    return true
  }

  /// Something is short.
  mutating func begin(_ reason: String) {
    end = .after(Self.length)
    guard !isShort else { return }
    isShort = true
    logger.error("no more clients are accepted for now", metadata: ["reason": "\(reason)"])
  }

  /// A client was accepted.
  mutating func accepted() {
    guard isShort else { return }
    isShort = false
    logger.notice("clients are accepted again")
  }
}
