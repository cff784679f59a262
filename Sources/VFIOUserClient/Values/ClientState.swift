/// What a client's connection is doing.
@nonexhaustive
public enum ClientState: Equatable, Sendable {
  /// It works.
  case connected
  /// It is lost for this reason, and the client looks for another.
  case reconnecting(StreamError)
  /// It is lost for this reason, for good.
  case lost(StreamError)
  /// It is being closed by us; a callback may still run.
  case closing
  /// It was closed by us, and no callback runs any more.
  case closed
}
