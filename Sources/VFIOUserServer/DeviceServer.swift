internal import LinuxPrimitives
internal import CLinux
internal import Logging

/// Serves one device to one client at a time.
///
/// The thread that calls ``run(on:)`` accepts clients. Each client is served by its own thread, which
/// receives, calls the device and replies. A second client gets EBUSY. When a client disconnects, the device
/// keeps its state and the next client is served.
public final class DeviceServer: Sendable {
  struct State: ~Copyable {
    var place = ClientPlace()
    /// Threads in ``run(on:)``, or about to be.
    var runners = 0
    /// Whether the thread that accepts clients has to rest, because the server is handed over.
    var isHalted = false
    /// Numbers of the sockets of waiting callers, when that thread rests.
    var callers: [Int32]?
    /// What was taken over from another process, and is not served yet.
    var inheritance = Inheritance()
  }

  let dispatcher: CommandDispatcher
  let state = Monitor(State())
  let wakeUp: OwnedDescriptor
  var logger: Logger { dispatcher.logger }

  /// Makes a device, and a server for it.
  ///
  /// ```swift
  /// let server = try DeviceServer(HelloDevice.pci) { try HelloDevice($0) }
  /// ```
  ///
  /// - Parameters:
  ///   - description: the device's configuration space and regions.
  ///   - options: limits and timeouts.
  ///   - makeDevice: makes the device, which may keep the context.
  /// - Throws: ``PCIDescription/ValidationError`` if the description is inconsistent, the error of
  ///   `makeDevice`, or ``/LinuxPrimitives/SystemCallError`` if the process has no descriptor left.
  public convenience init(
    _ description: PCIDescription, _ options: ServerOptions = ServerOptions(),
    makeDevice: (DeviceContext) throws -> any Device
  ) throws {
    try self.init(description, options, features: [:], makeDevice: makeDevice)
  }

  /// Makes a server with handlers for features of the device.
  package init(
    _ description: PCIDescription, _ options: ServerOptions = ServerOptions(),
    features: [FeatureIndex: any DeviceFeatureHandler],
    makeDevice: (DeviceContext) throws -> any Device
  ) throws {
    wakeUp = OwnedDescriptor(adopting: try checked("eventfd", clinux_eventfd()))
    dispatcher = try CommandDispatcher(
      description, options, features: features, quiet: EventFD(), makeDevice: makeDevice)
  }

  /// The device that is served.
  public var device: any Device { dispatcher.device }

  /// Accepts and serves clients until ``stop()``, then removes the socket.
  ///
  /// - Throws: if the listener fails; the failure of a client ends only that client.
  public func run(on listener: ListeningSocket) throws(SystemCallError) {
    state.update { $0.runners += 1 }
    try acceptClients(on: listener)
  }

  /// Runs ``run(on:)`` on a new thread.
  ///
  /// - Parameters:
  ///   - listener: the socket to which clients connect.
  ///   - onFailure: called on that thread if the listener has failed; no more clients are accepted then.
  /// - Throws: `EAGAIN` if no thread can be started.
  public func start(
    on listener: ListeningSocket,
    onFailure: @escaping @Sendable (SystemCallError) -> Void = { _ in }
  ) throws(SystemCallError) {
    state.update { $0.runners += 1 }
    do throws(SystemCallError) {
      try DetachedThread.start("vfio-user-run") { [self] in
        do throws(SystemCallError) {
          try acceptClients(on: listener)
        } catch {
          logger.error("no more clients are accepted", metadata: ["error": "\(error)"])
          onFailure(error)
        }
      }
    } catch {
      state.update { $0.runners -= 1 }
      throw error
    }
  }

  /// Waits until no thread accepts clients and no client is served; to be called after ``stop()``.
  ///
  /// - Returns: false if the time ran out first.
  @discardableResult
  public func waitUntilStopped(for timeout: Duration = .seconds(5)) -> Bool {
    let isOver: Void? = state.withLock(
      when: { $0.runners == 0 && $0.place.client == nil }, before: .after(timeout)
    ) { _ in }
    return isOver != nil
  }

  /// - Precondition: counted among the runners.
  private func acceptClients(on listener: ListeningSocket) throws(SystemCallError) {
    defer {
      endClient(of: listener)
      state.update { $0.runners -= 1 }
    }
    var acceptor = Acceptor(
      self, listener, callers: state.withLock { exchange(&$0.inheritance.callers, with: []) })
    while !state.withLock({ $0.place.isClosed }) {
      rest(acceptor)
      let isCallerWaiting = try wait(for: listener, &acceptor)
      if let socket = try acceptor.proceed(isCallerWaiting: isCallerWaiting) {
        startThread(for: socket)
      }
    }
  }

  /// Waits while the server is halted for a handover.
  private func rest(_ acceptor: borrowing Acceptor) {
    let callers = acceptor.callers
    // One halt may follow another before this thread has seen the end of the first.
    while noteHalt(callers) {
      _ = state.withLock(when: { !$0.isHalted || $0.callers == nil || $0.place.isClosed }) { _ in }
    }
  }

  /// Tells who halts the server which callers wait.
  ///
  /// - Returns: whether the server is halted.
  private func noteHalt(_ callers: [Int32]) -> Bool {
    var isHalted = false
    state.update { state in
      isHalted = state.isHalted && !state.place.isClosed
      if isHalted { state.callers = callers }
    }
    return isHalted
  }

  /// Serves one client over a connected socket, until the connection ends.
  ///
  /// - Returns: why the connection ended; `closedByUs` immediately if another client is being served.
  @discardableResult
  public func serve(_ socket: MessageSocket) -> StreamError {
    guard claim(for: socket) else { return .closedByUs }
    return session(socket)
  }

  /// Ends the client's connection and makes ``run(on:)`` return.
  ///
  /// May be called from any thread.
  public func stop() {
    state.update { $0.place.close() }
    wake()
  }

  /// Whether a client is being served.
  public var hasClient: Bool { state.withLock { $0.place.client != nil } }

  /// Waits until there is something to do for the acceptor.
  ///
  /// - Returns: whether the listener has a caller.
  private func wait(
    for listener: ListeningSocket, _ acceptor: inout Acceptor
  ) throws(SystemCallError) -> Bool {
    let watchedClient = acceptor.watchedClient
    var polled = ([wakeUp.number] + acceptor.refused).map { Self.interest($0) }
    let clientIndex = polled.count
    if let watchedClient {
      polled.append(Self.interest(watchedClient.descriptor.number, wanted: 0))
    }
    if !acceptor.isPaused { polled.append(Self.interest(listener.descriptor.number)) }
    _ = try checked(
      "ppoll", unsafe clinux_poll(&polled, Int32(polled.count), acceptor.deadline.remaining))
    _ = clinux_eventfd_take(wakeUp.number)
    // A VMM that restarts connects again before the server has noticed the end of its first connection.
    if let watchedClient, polled[clientIndex].happened != 0 { acceptor.clientHungUp(watchedClient) }
    return !acceptor.isPaused && polled[polled.count - 1].happened != 0
  }

  private static func interest(
    _ number: Int32, wanted: Int32 = CLINUX_READABLE
  ) -> clinux_interest {
    clinux_interest(descriptor: number, wanted: Int16(wanted), happened: 0)
  }

  private func startThread(for socket: MessageSocket) {
    do {
      try DetachedThread.start("vfio-user") { _ = self.session(socket) }
    } catch {
      logger.error("no thread for a client", metadata: ["error": "\(error)"])
      release()
    }
  }

  private func session(_ socket: MessageSocket) -> StreamError {
    let reason = Session.serve(socket, dispatcher)
    finish(socket, reason)
    return reason
  }

  private func endClient(of listener: ListeningSocket) {
    listener.remove()
    waitUntilFree(before: .after(Acceptor.handover))
  }

  /// Waits until no client is served, or the deadline has passed.
  package func waitUntilFree(before deadline: Deadline) {
    _ = state.withLock(when: { $0.place.client == nil }, before: deadline) { _ in }
  }
}
