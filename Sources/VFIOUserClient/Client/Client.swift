internal import LinuxPrimitives
public import SystemPackage

/// The VMM's side of a connection: queries a device and operates it.
///
/// Every method may be called from any thread. A method without `async` blocks until the reply; the waiting
/// thread reads the socket itself. A method with `async` suspends the task. DMA_READ and DMA_WRITE of the
/// device are answered from the memory that was registered with
/// `map(_:at:size:offset:_:isShared:timeout:)`.
///
/// Every operation has a parameter `timeout`, the maximum time for all of its messages together; if nil, each
/// message has ``ClientOptions/timeout``. A cancelled task gets ``ClientError/cancelled`` immediately, and
/// the late reply is discarded.
public final class Client: Sendable {
  let options: ClientOptions
  let trace: TracePoint
  /// The eventfds and masks that were set, to be restored after a reconnection.
  let memory: MemoryService
  let events = EventRegistry()
  /// The dispatcher of interrupt callbacks, made when it is first needed.
  let dispatcher = Monitor<EventDispatcher?>(nil)
  /// The user's callbacks that are running.
  let callbacks = Callbacks()
  let supervisor: ConnectionSupervisor
  /// The only connection of a client that does not reconnect: looking it up takes no lock.
  private let only: Connection?
  /// The mapped regions.
  let mappedRegions = MappedRegions()

  /// Connects to the device at `path` and negotiates version and capabilities.
  ///
  /// The device has ``ClientOptions/timeout`` to accept, and the same time again to reply.
  ///
  /// - Throws: ``ClientError/system(_:)`` if no process listens there, ``ClientError/notAccepting(within:)``
  ///   if a process listens but does not accept, ``ClientError/negotiationFailed(_:)`` if version or
  ///   capabilities do not match, ``ClientError/refused(_:_:)`` with `EBUSY` if the device has another
  ///   client.
  public convenience init(
    connectingTo path: FilePath, options: ClientOptions = ClientOptions()
  ) throws(ClientError) {
    // One for all connections, so that the server's descriptors that wait to be closed are counted together.
    let peer = PeerDescriptors()
    do throws(ClientError) {
      try self.init(options) { (deadline, isWanted) throws(SystemCallError) in
        try MessageSocket(connectingTo: path, peer: peer, before: deadline, while: isWanted)
      }
      if case .on(let policy) = options.reconnection { try watch(policy) }
    } catch {
      throw error.at(path)
    }
  }

  /// Negotiates version and capabilities over a connected socket; such a client cannot reconnect.
  public convenience init(
    _ socket: MessageSocket, options: ClientOptions = ClientOptions()
  ) throws(ClientError) {
    try self.init(options) { (_, _) throws(SystemCallError) in socket }
  }

  private init(
    _ options: ClientOptions, _ opening: @escaping ConnectionSupervisor.Opening
  ) throws(ClientError) {
    let options = options.bounded
    self.options = options
    trace = TracePoint(options.trace)
    memory = MemoryService(maxTransfer: options.proposal.effectiveMaxDataTransfer)
    supervisor = ConnectionSupervisor(opening)
    let factory = ConnectionFactory(
      options: options, memory: memory, trace: trace, callbacks: callbacks)
    let agreement = try NegotiatedConnection(
      try supervisor.open(within: options.timeout), factory)
    supervisor.begin(with: agreement)
    if case .off = options.reconnection { only = agreement.connection } else { only = nil }
  }

  /// The version and the capabilities that the server sent last, without those that were not proposed.
  ///
  /// The numbers are the server's limits for what the client sends; they may be larger than the proposed
  /// numbers, which are the client's limits.
  public var negotiatedVersion: VersionMessage { supervisor.last.version }

  /// The state of the connection.
  public var state: ClientState { supervisor.clientState(callbacks) }

  /// Why the connection was lost, nil while it is connected.
  public var failure: StreamError? { supervisor.last.connection.failure }

  /// Ends the connection.
  ///
  /// Waiting callers fail immediately. When this returns, no callback of the client is running and none will
  /// run: of interrupts, on any dispatcher, of the request handler, and of the reconnection observer. So do
  /// not hold a lock that one of them takes.
  ///
  /// If a callback calls this, it does not wait: no callback begins after it returns, and ``state`` becomes
  /// ``ClientState/closed`` when the running callbacks have returned.
  public func disconnect() {
    let isCallback = callbacks.close()
    supervisor.close(waits: !isCallback)
    // Its thread ends when a running callback has returned.
    _ = dispatcher.withLock { $0.take() }
    if !isCallback { callbacks.wait() }
  }

  deinit { disconnect() }

  /// Makes the connections.
  var factory: ConnectionFactory {
    ConnectionFactory(options: options, memory: memory, trace: trace, callbacks: callbacks)
  }

  /// The connection for one operation.
  func connection(before deadline: Deadline? = nil) throws(ClientError) -> Connection {
    if let only { return only }
    return try supervisor.current(options, before: deadline)
  }

  /// The connection for one operation of a task.
  func connection(
    before deadline: Deadline? = nil
  ) async throws(ClientError) -> Connection {
    if let only { return only }
    return try await supervisor.current(options, before: deadline)
  }

  /// Carries out an exchange on the calling thread.
  func perform<Result>(
    _ exchange: Exchange<Result>, timeout: Duration? = nil
  ) throws(ClientError) -> Result {
    let deadline = timeout.deadline
    return try connection(before: deadline).perform(exchange, before: deadline)
  }

  /// Carries out an exchange on the calling thread, and records the change for reconnections.
  func perform(
    _ exchange: Exchange<Nothing>, timeout: Duration?, noting change: () -> Void
  ) throws(ClientError) {
    let deadline = timeout.deadline
    let connection = try connection(before: deadline)
    _ = try connection.perform(exchange, before: deadline)
    try supervisor.note(on: connection, change)
  }

  /// Carries out an exchange while the task is suspended, and records the change for reconnections.
  func perform(
    _ exchange: Exchange<Nothing>, timeout: Duration?, noting change: () -> Void
  ) async throws(ClientError) {
    let deadline = timeout.deadline
    let connection = try await connection(before: deadline)
    _ = try await connection.perform(exchange, before: deadline)
    try supervisor.note(on: connection, change)
  }

  /// Carries out an exchange while the task is suspended.
  func perform<Result>(
    _ exchange: Exchange<Result>, timeout: Duration? = nil
  ) async throws(ClientError) -> Result {
    let deadline = timeout.deadline
    return try await connection(before: deadline).perform(exchange, before: deadline)
  }
}
