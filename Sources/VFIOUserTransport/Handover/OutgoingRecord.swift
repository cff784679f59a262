/// Messages that were not sent, or not to their end, for a process that continues with the socket.
package struct OutgoingRecord: Codable, Equatable, Sendable {
  /// The bytes of one send.
  package struct Send: Codable, Equatable, Sendable {
    package var bytes: [UInt8]
    /// Numbers of descriptors that stay open and belong to the outbox.
    package var descriptors: [Int32]
  }

  package var sends: [Send] = []

  package init() {}
}

/// The state of a sender, for a process that continues with the socket.
package struct SenderRecord: Codable, Equatable, Sendable {
  /// The unsent rest of a request.
  package var remainder: [UInt8] = []
  /// Whether the first send of the outbox is the rest of a message.
  package var isReplyCut = false

  package init() {}
}
