internal import VFIOUserTransport

/// The place of the one client that a server serves at a time.
///
/// A value without threads: ``DeviceServer`` keeps it under its lock.
struct ClientPlace {
  /// The client that is served, until its end is complete.
  private(set) var client: MessageSocket?
  /// Whether no more clients are served.
  private(set) var isClosed = false
  /// Whether the connection of the client has been shut down, so that its end is near.
  private var isClientLeaving = false
  /// When a client that has not sent its VERSION may lose the place to another.
  private var silenceDeadline = Deadline.never

  /// Whether a client can be admitted.
  var isFree: Bool { client == nil && !isClosed }

  /// The client whose connection is not known to have ended.
  var presentClient: MessageSocket? { isClientLeaving ? nil : client }

  /// Gives the place to a client.
  ///
  /// - Returns: false if the place is taken or closed.
  mutating func claim(for socket: MessageSocket) -> Bool {
    guard isFree else { return false }
    client = socket
    isClientLeaving = false
    silenceDeadline = .after(WaitingClients.grace)
    return true
  }

  /// The end of the client is complete.
  mutating func release() { client = nil }

  /// Shuts down the connection of the client, if it is still this one.
  mutating func end(_ socket: MessageSocket) {
    guard client === socket else { return }
    isClientLeaving = true
    socket.shutdown()
  }

  /// Shuts down the connection of a silent client.
  ///
  /// A client whose VERSION waits unread, because the processor is busy, is not silent.
  ///
  /// - Parameter hasSpoken: whether the VERSION of the client has been read.
  /// - Returns: whether this call has ended the connection.
  mutating func evictSilentClient(hasSpoken: Bool) -> Bool {
    guard let client = presentClient, silenceDeadline.hasPassed, !hasSpoken, !client.isReadable
    else { return false }
    end(client)
    return true
  }

  /// Ends the connection of the client, and admits no other.
  mutating func close() {
    isClosed = true
    if let client { end(client) }
  }
}
