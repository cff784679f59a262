/// What a client does when its connection is lost.
@nonexhaustive
public enum Reconnection: Sendable {
  /// Nothing: every call fails with the reason from then on.
  case off
  /// It tries again, see ``ReconnectionPolicy``. Needs a client that was made with a path.
  case on(ReconnectionPolicy)
}

/// How a lost connection is won back.
///
/// Calls that were under way when the connection was lost fail in any case, since nobody knows whether
/// the device carried them out. The client connects and negotiates again, checks that it is the same
/// device, and registers memory and interrupts again, masks included, before anybody else may call.
///
/// The same device is one with the same regions, the same types of interrupts, and the same numbers of
/// vendor, device, revision, class and subsystem; of a device that does not let its configuration space
/// be read, the numbers are not compared.
public struct ReconnectionPolicy: Sendable {
  /// The wait before the second attempt; it doubles with each, and goes on to when a connection that was won
  /// back is lost again soon.
  public var firstDelay: Duration = .milliseconds(20)
  /// The longest wait between two attempts; a connection that has stood for as long ends the doubling.
  public var maxDelay: Duration = .seconds(1)
  /// When to give up, counted from the loss; nil means never.
  public var maxDowntime: Duration?
  /// What becomes of calls that come meanwhile.
  public var callsMeanwhile = CallsMeanwhile.wait
  /// Hears of losses and returns, on the thread of the client's that looks for connections, and holds it up
  /// meanwhile.
  ///
  /// While there is none, a call of the client from there fails at once with the reason of the loss,
  /// whatever becomes of others.
  public var observer: (@Sendable (ReconnectionEvent) -> Void)?

  /// What becomes of calls that come while the connection is lost.
  @nonexhaustive
  public enum CallsMeanwhile: Sendable {
    /// They wait for the connection, no longer than their own time-out.
    case wait
    /// They fail at once with the reason of the loss.
    case fail
  }

  /// Never gives up, and lets calls wait.
  public init() {}
}

/// What an observer hears.
@nonexhaustive
public enum ReconnectionEvent: Sendable {
  /// The connection was lost.
  case lost(StreamError)
  /// It is back, and everything is registered again.
  case restored(attempts: Int)
  /// It will not come back: the time is up, or another device answers.
  case gaveUp(ClientError)
}
