internal import SystemPackage

/// Why a connection cannot go on.
///
/// Not to be confused with a message that is bad while its stream is in step: after one of these no
/// byte of the stream can be trusted, and the connection closes.
public enum StreamError: Error, Equatable, Sendable {
  /// The peer closed the connection between two messages.
  case closedByPeer
  /// We closed it.
  case closedByUs
  /// The peer closed the connection in the middle of a message.
  case endInsideMessage(had: Int)
  /// A header names a message size that does not even hold the header.
  case sizeBelowHeader(UInt32)
  /// A header names a message size beyond what was negotiated, in bytes.
  case sizeAboveLimit(UInt32, limit: Int)
  /// The type bits of a header are neither command nor reply.
  case unknownType(UInt32)
  /// The kernel dropped descriptors (`MSG_CTRUNC`): the process has too many open.
  case controlDataTruncated
  /// A message was begun, by the peer or by us, and did not end in time.
  case deadlinePassed(during: Activity)
  /// The peer asks for one thing after the other and does not read the answers.
  case notReading(waiting: Int, limit: Int)
  /// So many commands were given up for which the peer still owes a reply.
  case notAnswering(unanswered: Int, limit: Int)
  /// So many descriptors that the peer sent, and nobody needs, cannot be closed: each waits for the peer.
  case descriptorsNotClosing(waiting: Int, limit: Int)
  /// The socket failed.
  case system(SystemCallError)

  /// What took too long.
  public enum Activity: String, Sendable {
    /// The rest of a message that the peer began to send.
    case receiving
    /// A message of ours that the peer does not read.
    case sending
    /// The first message of a connection.
    case negotiating
  }
}

extension StreamError: CustomStringConvertible {
  /// A sentence for a log.
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
