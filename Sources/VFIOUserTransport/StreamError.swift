internal import SystemPackage

/// Why a connection cannot continue.
///
/// Not to be confused with an invalid message in an intact stream: after one of these errors no
/// byte of the stream can be trusted, and the connection is closed.
@nonexhaustive
public enum StreamError: Error, Equatable, Sendable {
  /// The peer closed the connection between two messages.
  case closedByPeer
  /// This side closed the connection.
  case closedByUs
  /// The peer closed the connection after `had` bytes of a message.
  case endInsideMessage(had: Int)
  /// A header gives a message size smaller than the header itself.
  case sizeBelowHeader(UInt32)
  /// A header gives a message size, in bytes, above the negotiated limit.
  case sizeAboveLimit(UInt32, limit: Int)
  /// The type bits of a header are neither command nor reply.
  case unknownType(UInt32)
  /// The kernel dropped descriptors (`MSG_CTRUNC`): the process has too many open.
  case controlDataTruncated
  /// A message that either side began was not completed in time.
  case deadlinePassed(during: Activity)
  /// The peer sends requests without reading the replies: `waiting` bytes are queued for it.
  case notReading(waiting: Int, limit: Int)
  /// The peer owes replies to too many commands that have timed out or been cancelled.
  case notAnswering(unanswered: Int, limit: Int)
  /// Too many unneeded descriptors sent by the peer wait to be closed, because closing them blocks.
  case descriptorsNotClosing(waiting: Int, limit: Int)
  /// A system call on the socket failed.
  case system(SystemCallError)

  /// What took too long.
  @nonexhaustive
  public enum Activity: String, Sendable {
    /// Receiving the rest of a message from the peer.
    case receiving
    /// Sending a message that the peer does not read.
    case sending
    /// Exchanging the first message of a connection.
    case negotiating
  }
}

extension StreamError: CustomStringConvertible {
  /// A description for a log.
  public var description: String {
    switch self {
    case .closedByPeer: "the peer closed the connection"
    case .closedByUs: "the connection was closed on this side"
    case .endInsideMessage(let had):
      "the peer closed the connection \(had) bytes into a message"
    case .sizeBelowHeader(let size): "a message claims \(size) bytes, its header alone has 16"
    case .sizeAboveLimit(let size, let limit):
      "a message claims \(size) bytes, at most \(limit) were agreed"
    case .unknownType(let type): "a message is neither command nor reply (type \(type))"
    case .controlDataTruncated:
      "the kernel dropped descriptors of a message; raise the limit of open files (ulimit -n)"
    case .deadlinePassed(let activity): "the peer was too slow (\(activity.rawValue))"
    case .notReading(let waiting, let limit):
      "the peer does not read: \(waiting) bytes of answers wait for it, at most \(limit) may"
    case .notAnswering(let unanswered, let limit):
      "the peer does not answer: \(unanswered) replies are overdue, at most \(limit) may be"
    case .descriptorsNotClosing(let waiting, let limit):
      "the peer sent descriptors whose closing waits for it: \(waiting), at most \(limit) may"
    case .system(let failure): failure.description
    }
  }
}
