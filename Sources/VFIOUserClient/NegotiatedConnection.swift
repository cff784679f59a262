internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

/// A connection on which both sides have agreed.
struct NegotiatedConnection: Sendable {
  let connection: Connection
  /// Where the server's commands come in, if not on the same socket.
  let twin: Connection?
  let version: VersionMessage

  /// Proposes, and checks the answer.
  ///
  /// - Parameter deadline: when it has to be there, if that is earlier than usual.
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
    let options = factory.options
    let mayCoalesce =
      options.postsWrites && version.capabilities.effectiveWriteMultiple
      && version.capabilities.effectiveMaxDataTransfer >= Connection.maxCoalescedBytes
    try connection.state.update { state throws(ClientError) in
      state.mayCoalesce = mayCoalesce
      state.twin = twin
      if state.failure != nil { state.twin.take()?.leaveAlone() }
      if options.handler != nil { try connection.addBackgroundUser(&state) }
    }
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
      result = try connection.perform(exchange, before: deadline)
    } catch {
      guard case .implausibleReply(_, let what) = error else { throw error }
      throw .negotiationFailed("the server's answer cannot be: \(what)")
    }
    trace.record(.version(major: result.0.major, minor: result.0.minor))
    return result
  }

  /// Checks the answer against the proposal (specification, "Version").
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
    // What was not proposed is not agreed on; libvfio-user names some. It is ignored.
    //
    // Numbers are no part of that: each side states limits of its own, of what it can take in one
    // message, transfer, map. A server may name larger ones than ours (libvfio-user names its own
    // whatever was proposed). Its numbers bound what we send, ours what it may send.
    var agreed = answer
    if !proposal.capabilities.effectiveTwinSocket.supported { agreed.capabilities.twinSocket = nil }
    if proposal.capabilities.writeMultiple != true { agreed.capabilities.writeMultiple = nil }
    if proposal.capabilities.migration == nil { agreed.capabilities.migration = nil }
    return agreed
  }

  /// The twin socket, if the server set one up.
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

  /// Ends both sockets.
  func disconnect() {
    connection.disconnect()
    twin?.disconnect()
  }

  /// Ends both sockets, and does not wait for their threads.
  func end(_ failure: StreamError) {
    connection.end(failure)
    twin?.end(failure)
  }

  /// Whether no thread of theirs is left.
  var hasEnded: Bool { connection.hasEnded && twin?.hasEnded ?? true }
}

/// Carries a socket's descriptor through places where only copyable values pass.
final class TwinDescriptor: Sendable {
  private let descriptor: Monitor<OwnedDescriptor?>

  init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = Monitor(consume descriptor) }

  /// Gives it away; once.
  func take() -> OwnedDescriptor {
    guard let taken = descriptor.withLock({ $0.take() }) else {
      preconditionFailure("a twin socket was taken twice")
    }
    return taken
  }
}

/// Makes the connections of a client, all alike.
struct ConnectionFactory {
  let options: ClientOptions
  let memory: MemoryService
  let trace: TracePoint
  let callbacks: Callbacks

  func make(_ socket: MessageSocket) throws(SystemCallError) -> Connection {
    try Connection(
      socket, timeout: options.timeout, messageTimeout: options.messageTimeout,
      requestLimit: options.requestLimit, service: memory, handler: handler, trace: trace)
  }

  /// The user's handler, as a callback that ends with the client's others.
  private var handler: RequestHandler? {
    guard let handler = options.handler else { return nil }
    return { [callbacks] request in
      // One at a time, whichever socket they came on. What is not handled is answered by its end.
      let answer = request.answer
      guard callbacks.enterTurn(while: { answer.isWanted }) else { return }
      defer { callbacks.leaveTurn() }
      handler(request)
    }
  }

  /// The socket for the server's commands is read all the time; when it is lost, so is the other.
  func makeTwin(
    _ socket: MessageSocket, of main: Connection
  ) throws(ClientError) -> Connection {
    let twin: Connection
    do throws(SystemCallError) {
      twin = try make(socket)
    } catch {
      throw .negotiationFailed("the twin socket is of no use: \(error)")
    }
    twin.onLoss { [weak main] failure in main?.end(failure) }
    // Before anybody reads.
    twin.setMessageLimit(messageLimit)
    try twin.state.update { state throws(ClientError) in try twin.addBackgroundUser(&state) }
    return twin
  }

  /// Most bytes of a message once both sides agreed.
  var messageLimit: Int {
    let data = Int(max(options.maxAccess, options.proposal.effectiveMaxDataTransfer))
    // Nothing stands in front of data that is longer than this; and what describes a region counts as no
    // data at all.
    let report = DeviceFeature.wireSize + DMALoggingReport.wireSize
    return Header.wireSize + max(report + data, Int(Exchanges.maxRoom))
  }
}
