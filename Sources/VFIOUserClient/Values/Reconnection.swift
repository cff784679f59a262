/// The reaction of a client to the loss of its connection.
@nonexhaustive
public enum Reconnection: Sendable {
  /// Every call fails with the reason from then on.
  case off
  /// The client reconnects, see ``ReconnectionPolicy``; only for a client that was made with a path.
  case on(ReconnectionPolicy)
}

/// How a client reconnects.
///
/// Calls that were in progress when the connection was lost fail in any case, since it is unknown whether the
/// device has carried them out. The client connects and negotiates again, checks that the device is the same,
/// and restores DMA windows, eventfds and masks, before other calls continue.
///
/// A device is the same if it has the same regions, the same interrupt types, and the same vendor, device,
/// revision, class and subsystem. The numbers are not compared if configuration space cannot be read.
public struct ReconnectionPolicy: Sendable {
  /// The delay before the second attempt; doubles with each attempt, also across connections that are lost
  /// again within ``maxDelay``.
  public var firstDelay: Duration = .milliseconds(20)
  /// The longest delay between two attempts; after a connection of this length the delay starts from the
  /// beginning.
  public var maxDelay: Duration = .seconds(1)
  /// Maximum time without a connection, after which the client gives up; nil for no limit.
  public var maxDowntime: Duration?
  /// What happens to calls while the connection is lost.
  public var callsMeanwhile = CallsMeanwhile.wait
  /// Called when the connection is lost, restored or given up; on the client's supervisor thread, which waits
  /// for it.
  ///
  /// While there is no connection, a call of the client in it fails immediately with the reason of the loss.
  public var observer: (@Sendable (ReconnectionEvent) -> Void)?

  /// What happens to calls while the connection is lost.
  @nonexhaustive
  public enum CallsMeanwhile: Sendable {
    /// They wait for the connection until their timeout.
    case wait
    /// They fail immediately with the reason of the loss.
    case fail
  }

  /// The defaults: no limit of time, and calls wait.
  public init() {}
}

/// An event for the observer.
@nonexhaustive
public enum ReconnectionEvent: Sendable {
  /// The connection was lost.
  case lost(StreamError)
  /// The connection is restored, with DMA windows, eventfds and masks.
  case restored(attempts: Int)
  /// The client has given up: the time ran out, or the device is another one.
  case gaveUp(ClientError)
}
