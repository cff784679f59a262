/// Makes the connections of a client, with the same options.
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

  /// The user's handler, wrapped so that it ends with the client's other callbacks.
  private var handler: RequestHandler? {
    guard let handler = options.handler else { return nil }
    return { [callbacks] request in
      // One at a time for all sockets. A request that is not handled is answered by its deinit.
      let answer = request.answer
      guard callbacks.enterTurn(while: { answer.isWanted }) else { return }
      defer { callbacks.leaveTurn() }
      handler(request)
    }
  }

  /// Makes the twin connection, which is always read; its loss ends the main connection.
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
    // Before any thread reads.
    twin.setMessageLimit(messageLimit)
    try twin.readInBackground()
    return twin
  }

  /// Maximum size of a message after the negotiation.
  var messageLimit: Int {
    let data = Int(max(options.maxAccess, options.proposal.effectiveMaxDataTransfer))
    // The longest fixed part before data; a region's description is not limited as data.
    let report = DeviceFeature.wireSize + DMALoggingReport.wireSize
    return Header.wireSize + max(report + data, Int(Exchanges.maxRoom))
  }
}
