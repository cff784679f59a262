internal import LinuxPrimitives
internal import SystemPackage

/// A connection after the negotiation.
struct NegotiatedConnection: Sendable {
  let connection: Connection
  /// The twin connection for the server's commands, if there is one.
  let twin: Connection?
  let version: VersionMessage

  /// Negotiates version and capabilities.
  ///
  /// - Parameter deadline: of the reply, if earlier than the default.
  init(
    _ socket: MessageSocket, _ factory: ConnectionFactory, before deadline: Deadline = .never
  ) throws(ClientError) {
    let options = factory.options
    let connection: Connection
    do throws(SystemCallError) {
      connection = try factory.make(socket)
    } catch {
      throw .system(error)
    }
    do throws(ClientError) {
      let (answer, socket) = try Self.negotiate(connection, options, factory.trace, deadline)
      version = answer
      if let socket {
        twin = try factory.makeTwin(MessageSocket(adopting: socket.take()), of: connection)
      } else {
        twin = nil
      }
    } catch {
      connection.disconnect()
      throw error
    }
    self.connection = connection
    do throws(ClientError) {
      try setUp(factory)
    } catch {
      disconnect()
      throw error
    }
  }

  private func setUp(_ factory: ConnectionFactory) throws(ClientError) {
    connection.setMessageLimit(factory.messageLimit)
    let capabilities = version.capabilities
    let collects =
      factory.options.postsWrites && capabilities.effectiveWriteMultiple
      && capabilities.effectiveMaxDataTransfer >= SendQueue.maxCollectedBytes
    try connection.setUp(collects: collects, twin: twin)
  }

  private static func negotiate(
    _ connection: Connection, _ options: ClientOptions, _ trace: TracePoint, _ deadline: Deadline
  ) throws(ClientError) -> (VersionMessage, TwinDescriptor?) {
    let proposal = VersionMessage(major: 0, minor: 1, capabilities: options.proposal)
    trace.record(.version(major: 0, minor: 1))
    let twinWanted = options.proposal.effectiveTwinSocket.supported
    let exchange = Exchange(
      .version, proposal, limit: 8192,
      descriptorLimit: options.proposal.effectiveMaxMessageDescriptors
    ) { (payload, descriptors) throws(ClientError) -> (VersionMessage, TwinDescriptor?) in
      let answer = try check(payload, proposal)
      let twin = try twinDescriptor(answer, &descriptors, isWanted: twinWanted)
      return (answer, twin)
    }
    let result: (VersionMessage, TwinDescriptor?)
    do throws(ClientError) {
      result = try connection.perform(
        exchange, before: connection.usualDeadline(atMost: deadline))
    } catch {
      guard case .implausibleReply(_, let what) = error.reason else { throw error }
      throw .negotiationFailed("the server's answer cannot be: \(what)")
    }
    trace.record(.version(major: result.0.major, minor: result.0.minor))
    return result
  }

  /// Checks the reply against the proposal (specification, "Version").
  private static func check(
    _ payload: Span<UInt8>, _ proposal: VersionMessage
  ) throws(ClientError) -> VersionMessage {
    let answer: VersionMessage
    do throws(WireError) {
      answer = try VersionMessage(decoding: payload)
    } catch {
      throw .negotiationFailed("the server's answer is malformed: \(error)")
    }
    guard answer.major == proposal.major, answer.minor <= proposal.minor else {
      throw .negotiationFailed(
        "the server speaks version \(answer.major).\(answer.minor), "
          + "this client up to \(proposal.major).\(proposal.minor)")
    }
    // Capabilities that were not proposed are ignored; libvfio-user sends some.
    //
    // Numbers are not negotiated: each side states its own limits for received messages, transfers and maps.
    // A server's numbers may be larger than the client's (libvfio-user always sends its own). They limit what
    // the client sends; the client's numbers limit what the server sends.
    var agreed = answer
    if !proposal.capabilities.effectiveTwinSocket.supported { agreed.capabilities.twinSocket = nil }
    if proposal.capabilities.writeMultiple != true { agreed.capabilities.writeMultiple = nil }
    if proposal.capabilities.migration == nil { agreed.capabilities.migration = nil }
    return agreed
  }

  /// The twin socket, if the server has made one.
  private static func twinDescriptor(
    _ answer: VersionMessage, _ descriptors: inout DescriptorList, isWanted: Bool
  ) throws(ClientError) -> TwinDescriptor? {
    let twin = answer.capabilities.effectiveTwinSocket
    guard isWanted, twin.supported else { return nil }
    guard let index = twin.descriptorIndex else {
      throw .negotiationFailed("the server set up a twin socket but does not say which")
    }
    guard index < descriptors.count else {
      throw .negotiationFailed(
        "the twin socket is descriptor \(index) of \(descriptors.count) that the server sent")
    }
    for _ in 0..<index { _ = descriptors.takeFirst() }
    guard let descriptor = descriptors.takeFirst() else { return nil }
    return TwinDescriptor(descriptor)
  }

  /// Ends both connections.
  func disconnect() {
    connection.disconnect()
    twin?.disconnect()
  }

  /// Ends both connections, without waiting for their threads.
  func end(_ failure: StreamError) {
    connection.end(failure)
    twin?.end(failure)
  }

  /// Whether the threads of both have ended.
  var hasEnded: Bool { connection.hasEnded && twin?.hasEnded ?? true }
}

/// Holds a socket's descriptor where values have to be copyable.
final class TwinDescriptor: Sendable {
  private let descriptor: Monitor<OwnedDescriptor?>

  init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = Monitor(consume descriptor) }

  /// Takes the descriptor, once.
  func take() -> OwnedDescriptor {
    guard let taken = descriptor.withLock({ $0.take() }) else {
      preconditionFailure("a twin socket was taken twice")
    }
    return taken
  }
}
