package import VFIOUserProtocol

/// A message with what the messages before it say about it.
package struct CheckedMessage: Sendable {
  package let message: TracedMessage
  /// Nil if the bytes are no message.
  package let header: Header?
  /// The fields of the payload.
  package internal(set) var words: MessageWords
  /// Of a reply: the time since its command, in nanoseconds.
  package internal(set) var latency: UInt64?
  /// The region that the message, or the command that it replies to, is about.
  package internal(set) var region: RegionIndex?
  /// What the specification does not permit.
  package internal(set) var violations: [Violation] = []

  init(_ message: TracedMessage) {
    self.message = message
    header = message.header
    words = header.map { MessageWords($0, message.payload.span) } ?? MessageWords()
    region = words.region
  }

  /// Whether it is a reply.
  package var isReply: Bool { header?.flags.isReply ?? false }

  /// Whether it is the reply to a command that has failed.
  package var isError: Bool { isReply && header?.flags.contains(.error) == true }
}
