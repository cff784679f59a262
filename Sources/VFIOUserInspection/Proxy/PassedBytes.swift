/// Bytes that a proxy forwards, and the descriptors that were sent with the first of them.
package struct PassedBytes: Sendable {
  /// When they had been received: nanoseconds of CLOCK_MONOTONIC.
  package let instant: UInt64
  package let stream: TracedStream
  package let bytes: [UInt8]
  package let descriptors: [DescriptorNote]
  /// Whether the first byte is the first of a message.
  package let startsMessage: Bool

  package init(
    instant: UInt64, stream: TracedStream, bytes: [UInt8], descriptors: [DescriptorNote] = [],
    startsMessage: Bool = true
  ) {
    self.instant = instant
    self.stream = stream
    self.bytes = bytes
    self.descriptors = descriptors
    self.startsMessage = startsMessage
  }
}

/// What happens to the connections of a proxy.
package enum ProxyEvent: Sendable, Equatable {
  /// A client has been connected to the server; its process ID if the kernel tells.
  case opened(connection: Int, process: Int32?)
  /// A client could not be connected to the server, and has been disconnected.
  case refused(connection: Int, reason: String)
  /// The server's reply to VERSION has passed a second socket, which the proxy stands between too.
  case twin(connection: Int)
  /// A socket cannot be forwarded any more, for a reason other than its end.
  case failed(connection: Int, reason: String)
  /// A stream has ended: nothing more comes in its direction.
  case ended(TracedStream)
  /// A connection has ended; who has closed it.
  case closed(connection: Int, by: MessageDirection?)
  /// A connection has ended before these commands had a reply.
  case unanswered(connection: Int, [String])
  /// No more clients can be accepted.
  case stopped(reason: String)
}

/// Is told what a proxy does, on the threads that forward.
package protocol ProxyTap: Sendable {
  /// Bytes are about to be forwarded.
  func passed(_ bytes: PassedBytes)
  func happened(_ event: ProxyEvent)
}
