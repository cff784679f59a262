internal import LinuxPrimitives
public import SystemPackage

/// The VMM's side of a connection: finds out what a device has, and drives it.
///
/// Every method may be called from any thread. Those without `async` wait for the device's reply, and
/// the thread that waits reads the socket itself; those with it suspend the task. What a device asks of
/// us (DMA_READ, DMA_WRITE) is answered from the memory that was registered with
/// ``map(_:at:size:offset:_:isShared:timeout:)``.
///
/// Every operation takes a `timeout`: how long it may take as a whole, however many messages it needs;
/// without it each message gets ``ClientOptions/timeout``. A task that is cancelled gets
/// ``ClientError/cancelled`` at once, and the late reply is swallowed.
public final class Client: Sendable {
  let options: ClientOptions
  let trace: TracePoint
  /// What is registered with the device, and restored after a reconnection.
  let memory: MemoryService
  let events = EventRegistry()
  /// Runs the callbacks of interrupts, once there are any.
  let dispatcher = Monitor<EventDispatcher?>(nil)
  /// What runs of the callbacks of the user's.
  let callbacks = Callbacks()
  let supervisor: ConnectionSupervisor
  /// What is mapped of the device's regions.
  let mappedRegions = MappedRegions()

  /// Connects to the device at `path` and agrees on version and capabilities.
  ///
  /// The device has ``ClientOptions/timeout`` to accept, and as much to answer.
  ///
  /// - Throws: ``ClientError/system(_:)`` when nobody listens there,
  ///   ``ClientError/notAccepting(within:)`` when somebody does and accepts nobody,
  ///   ``ClientError/negotiationFailed(_:)`` when the two do not understand each other,
  ///   ``ClientError/refused(_:_:)`` with `EBUSY` when the device has a client already.
  public convenience init(
    connectingTo path: FilePath, options: ClientOptions = ClientOptions()
  ) throws(ClientError) {
    // One for all connections: descriptors of the server that cannot be closed are counted together.
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

  /// Agrees on version and capabilities over a socket that is connected already; such a client cannot
  /// reconnect.
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
    let socket = try supervisor.open(within: options.timeout)
    supervisor.begin(with: try NegotiatedConnection(socket, factory))
  }

  /// The version and the capabilities of the server, as it answered last, without those that were not
  /// proposed.
  ///
  /// Its numbers are limits of its own, for what the client sends, and may be larger than those that
  /// were proposed, which are the client's.
  public var negotiatedVersion: VersionMessage { supervisor.last.version }

  /// What the connection is doing right now.
  public var state: ClientState { supervisor.clientState(callbacks) }

  /// Why the connection is lost, nil while it stands.
  public var failure: StreamError? { supervisor.last.connection.failure }

  /// Ends the connection.
  ///
  /// Waiting callers fail at once. When this returns, no callback of the client's runs, and none will:
  /// neither those of interrupts, on whatever dispatcher, nor the handler, nor the observer of
  /// reconnections. So do not hold a lock that one of them takes.
  ///
  /// A callback may call this too. It does not wait then, for itself or for another: none begins any more
  /// when this returns, and ``state`` is ``ClientState/closed`` once those that run have returned.
  public func disconnect() {
    let isCallback = callbacks.close()
    supervisor.close(waits: !isCallback)
    // Its thread ends when the callback that it may be in has returned.
    _ = dispatcher.withLock { $0.take() }
    if !isCallback { callbacks.wait() }
  }

  deinit { disconnect() }

  /// Makes the connections.
  var factory: ConnectionFactory {
    ConnectionFactory(options: options, memory: memory, trace: trace, callbacks: callbacks)
  }

  /// The connection, to be used for one operation.
  func connection(before deadline: Deadline? = nil) throws(ClientError) -> Connection {
    try supervisor.current(options, before: deadline)
  }

  /// The connection, to be used for one operation of a task.
  func connection(
    before deadline: Deadline? = nil
  ) async throws(ClientError) -> Connection {
    try await supervisor.current(options, before: deadline)
  }

  /// Carries an exchange out on this thread.
  func perform<Result>(
    _ exchange: Exchange<Result>, timeout: Duration? = nil
  ) throws(ClientError) -> Result {
    let deadline = timeout.deadline
    return try connection(before: deadline).perform(exchange, before: deadline)
  }

  /// Carries an exchange out on this thread, and notes what the device agreed to with it.
  func perform(
    _ exchange: Exchange<Nothing>, timeout: Duration?, noting change: () -> Void
  ) throws(ClientError) {
    let deadline = timeout.deadline
    let connection = try connection(before: deadline)
    _ = try connection.perform(exchange, before: deadline)
    try supervisor.note(on: connection, change)
  }

  /// Carries an exchange out while the task is suspended, and notes what the device agreed to with it.
  func perform(
    _ exchange: Exchange<Nothing>, timeout: Duration?, noting change: () -> Void
  ) async throws(ClientError) {
    let deadline = timeout.deadline
    let connection = try await connection(before: deadline)
    _ = try await connection.perform(exchange, before: deadline)
    try supervisor.note(on: connection, change)
  }

  /// Carries an exchange out while the task is suspended.
  func perform<Result>(
    _ exchange: Exchange<Result>, timeout: Duration? = nil
  ) async throws(ClientError) -> Result {
    let deadline = timeout.deadline
    return try await connection(before: deadline).perform(exchange, before: deadline)
  }
}
