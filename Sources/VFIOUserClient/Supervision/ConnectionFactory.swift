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
    try twin.readInBackground()
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
