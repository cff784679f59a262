/// The state of a client's connection.
@nonexhaustive
public enum ClientState: Equatable, Sendable {
  /// Connected.
  case connected
  /// Lost for this reason; the client is reconnecting.
  case reconnecting(StreamError)
  /// Lost for this reason; the client does not reconnect.
  case lost(StreamError)
  /// The user is closing the client; a callback may still be running.
  case closing
  /// The user has closed the client, and no callback is running.
  case closed
}
