public import SystemPackage
public import VFIOUserProtocol
public import VFIOUserTransport

/// Why an operation of the client failed.
public enum ClientError: Error, Equatable, Sendable {
  /// The server answered with an errno; the connection is in order.
  case refused(Command, Errno)
  /// The server's reply cannot be what the command asked for; the connection is in order.
  case malformedReply(Command, WireError)
  /// The server's reply is well formed and says something that cannot be.
  case implausibleReply(Command, String)
  /// The two sides could not agree on a version and capabilities; the text says on what.
  case negotiationFailed(String)
  /// No reply came in time.
  case timedOut(Command)
  /// The connection is lost.
  case disconnected(StreamFailure)
  /// A system call failed.
  case system(SystemFailure)
}

extension ClientError: CustomStringConvertible {
  /// A sentence that names the cause.
  public var description: String {
    switch self {
    case .refused(let command, let errno): "the device refused \(command): \(errno.description)"
    case .malformedReply(let command, let error): "the reply to \(command) is malformed: \(error)"
    case .implausibleReply(let command, let what): "the reply to \(command) cannot be: \(what)"
    case .negotiationFailed(let what): "no agreement with the device: \(what)"
    case .timedOut(let command): "no reply to \(command) in time"
    case .disconnected(let failure): "connection lost: \(failure)"
    case .system(let failure): failure.description
    }
  }
}
