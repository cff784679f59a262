internal import LinuxPrimitives
internal import CLinux
internal import Logging
internal import Synchronization
internal import SystemPackage

/// Serves one device to one client at a time.
///
/// The thread that calls ``run(on:)`` accepts clients; each client is served by a thread of its own,
/// which reads, calls the device and replies without a hop. A second client gets EBUSY. When a client
/// goes, the device keeps its state and takes the next one.
public final class DeviceServer: Sendable {
  struct State {
    var client: MessageSocket?
    /// Whether the client has hung up and its session was told so.
    var isClientLeaving = false
    /// From when on a client that has not sent its VERSION may have to give up its place.
    var silenceDeadline = Deadline.never
    var isStopping = false
    /// Threads in ``run(on:)``, or about to be.
    var runners = 0
  }

  let dispatcher: CommandDispatcher
  let state = Monitor(State())
  private let wakeUp: OwnedDescriptor
  var logger: Logger { dispatcher.logger }

  /// How long a restarted client waits for its predecessor, whose connection has ended, to be cleared
  /// away.
  static let handover: Duration = .seconds(2)
  /// Most clients that wait for their refusal at the same time; more are closed without a word.
  static let maxRefusals = 16

  /// Makes a device, and a server for it.
  ///
  /// ```swift
  /// let server = try DeviceServer(HelloDevice.pci) { try HelloDevice($0) }
  /// ```
  ///
  /// - Parameters:
  ///   - description: what the device looks like on the bus.
  ///   - options: limits and deadlines.
  ///   - makeDevice: makes the device, which may keep its context.
  /// - Throws: ``PCIDescription/ValidationError`` when the description contradicts itself, what `makeDevice`
  ///   throws, or ``SystemCallError`` when there is no descriptor left.
  public convenience init(
    _ description: PCIDescription, _ options: ServerOptions = ServerOptions(),
    makeDevice: (DeviceContext) throws -> any Device
  ) throws {
    try self.init(description, options, features: [:], makeDevice: makeDevice)
  }

  /// Makes a server that knows features of the device.
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

  /// Accepts and serves clients until ``stop()``; the socket is removed at the end.
  ///
  /// - Throws: when waiting for clients fails; a client that fails ends only itself.
  public func run(on listener: ListeningSocket) throws(SystemCallError) {
    state.update { $0.runners += 1 }
    try acceptClients(on: listener)
  }

  /// Does what ``run(on:)`` does on a thread of its own.
  ///
  /// - Parameters:
  ///   - listener: where clients come.
  ///   - onFailure: told on that thread, at its end, when waiting for clients has failed; after that no
  ///     more are accepted.
  /// - Throws: `EAGAIN` when the process may have no more threads.
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

  /// Waits until no thread accepts clients and none is served, after ``stop()``.
  ///
  /// - Returns: whether that came about in time.
  @discardableResult
  public func waitUntilStopped(for timeout: Duration = .seconds(5)) -> Bool {
    let isOver: Void? = state.withLock(
      when: { $0.runners == 0 && $0.client == nil }, before: .after(timeout)
    ) { _ in }
    return isOver != nil
  }

  /// - Precondition: counted among the runners.
  private func acceptClients(on listener: ListeningSocket) throws(SystemCallError) {
    defer {
      endClient(of: listener)
      state.update { $0.runners -= 1 }
    }
    listener.neverWait()
    var waitingClients = WaitingClients(
      limit: Self.maxRefusals, timeout: .seconds(1), logger: logger)
    var pause = AcceptPause(logger: logger)
    while !state.withLock({ $0.isStopping }) {
      let isCallerWaiting = try wait(for: listener, &waitingClients, pause)
      if !hasClient, let next = waitingClients.takeNext() { admit(next, &waitingClients) }
      waitingClients.proceed(evicting: evictSilentClient)
      _ = pause.endIfDue()
      guard isCallerWaiting, let socket = try accept(from: listener, &pause) else { continue }
      admit(socket, &waitingClients)
    }
  }

  /// Serves one client whose socket was handed in, until the connection ends.
  ///
  /// - Returns: why it ended; `closedByUs` at once when another client is being served.
  @discardableResult
  public func serve(_ socket: MessageSocket) -> StreamError {
    guard claim(for: socket) else { return .closedByUs }
    return session(socket)
  }

  /// Ends the client's connection and makes ``run(on:)`` return.
  ///
  /// May be called from any thread.
  public func stop() {
    state.update { state in
      state.isStopping = true
      state.client?.shutdown()
    }
    _ = clinux_eventfd_signal_own(wakeUp.number)
  }

  /// Whether a client is being served.
  public var hasClient: Bool { state.withLock { $0.client != nil } }

  /// Waits until something is to be done.
  ///
  /// - Returns: whether somebody wants to be accepted.
  private func wait(
    for listener: ListeningSocket, _ waitingClients: inout WaitingClients, _ pause: AcceptPause
  ) throws(SystemCallError) -> Bool {
    // While a client is in its grace period, the present client is watched for hanging up.
    let holder =
      waitingClients.isGraceRunning ? state.withLock { $0.isClientLeaving ? nil : $0.client } : nil
    var polled = ([wakeUp.number] + waitingClients.numbers).map { Self.interest($0) }
    if let holder { polled.append(Self.interest(holder.descriptor.number, wanted: 0)) }
    if !pause.isOn { polled.append(Self.interest(listener.descriptor.number)) }
    let deadline = min(waitingClients.deadline, pause.deadline)
    _ = try checked("ppoll", unsafe clinux_poll(&polled, Int32(polled.count), deadline.remaining))
    _ = clinux_eventfd_take(wakeUp.number)
    if let holder, polled[1 + waitingClients.numbers.count].happened != 0 {
      // A restarted VMM must not race its own predecessor.
      state.withLock { $0.isClientLeaving = $0.client === holder }
      holder.shutdown()
      waitingClients.prolongGrace(until: .after(Self.handover))
    }
    return !pause.isOn && polled[polled.count - 1].happened != 0
  }

  private static func interest(
    _ number: Int32, wanted: Int32 = CLINUX_READABLE
  ) -> clinux_interest {
    clinux_interest(descriptor: number, wanted: Int16(wanted), happened: 0)
  }

  /// Takes the next caller, unless something is short: then accepting pauses.
  ///
  /// - Returns: nil also when the caller has changed its mind, or another process has taken it.
  func accept(
    from listener: ListeningSocket, _ pause: inout AcceptPause
  ) throws(SystemCallError) -> MessageSocket? {
    let peer = dispatcher.peerDescriptors
    guard !peer.isOverdrawn else {
      pause.begin(
        "\(peer.count) descriptors that clients sent wait for somebody to let them be closed")
      return nil
    }
    do throws(SystemCallError) {
      let socket = MessageSocket(
        adopting: try listener.accept(), peer: PeerDescriptors(countedBy: peer))
      pause.accepted()
      return socket
    } catch {
      if error.isShortage {
        pause.begin("\(error)")
        return nil
      }
      guard error.code == .resourceTemporarilyUnavailable || error.code == .connectionAbort
      else { throw error }
      guard !listener.isShutDown else {
        throw SystemCallError(call: "accept", code: .socketShutdown)
      }
      return nil
    }
  }

  /// Ends the connection of a client that holds the place and has not said what it is.
  ///
  /// - Returns: whether the place becomes free.
  private func evictSilentClient() -> Bool {
    let (isFree, client) = state.withLock { state -> (Bool, MessageSocket?) in
      guard let client = state.client else { return (true, nil) }
      // One whose VERSION lies unread, because there is too little processor, has spoken.
      guard state.silenceDeadline.hasPassed, !client.isReadable,
        !dispatcher.hasSpoken.load(ordering: .relaxed)
      else { return (false, nil) }
      let isNew = !state.isClientLeaving
      state.isClientLeaving = true
      return (true, isNew ? client : nil)
    }
    guard let client else { return isFree }
    logger.notice("a client that says nothing gives its place to another")
    client.shutdown()
    return true
  }

  private func admit(_ socket: MessageSocket, _ waitingClients: inout WaitingClients) {
    guard claim(for: socket) else { return waitingClients.add(socket) }
    do {
      try DetachedThread.start("vfio-user") { _ = self.session(socket) }
    } catch {
      logger.error("no thread for a client", metadata: ["error": "\(error)"])
      release()
    }
  }

  func claim(for socket: MessageSocket) -> Bool {
    state.update { state in
      guard state.client == nil, !state.isStopping else { return false }
      state.client = socket
      state.isClientLeaving = false
      state.silenceDeadline = .after(WaitingClients.grace)
      dispatcher.hasSpoken.store(false, ordering: .relaxed)
      return true
    }
  }

  private func session(_ socket: MessageSocket) -> StreamError {
    let reason = Session.serve(socket, dispatcher)
    // Threads of the device that send to this client or wait for it must not go on doing so.
    socket.shutdown()
    dispatcher.clientLeft()
    note(reason)
    release()
    return reason
  }

  /// Says why a client has gone; what somebody can do something about is said louder.
  func note(_ reason: StreamError) {
    let level: Logger.Level =
      switch reason {
      case .controlDataTruncated, .descriptorsNotClosing, .system: .error
      default: .info
      }
    logger.log(level: level, "the client is gone", metadata: ["reason": "\(reason)"])
  }

  func release() {
    state.update { $0.client = nil }
    _ = clinux_eventfd_signal_own(wakeUp.number)
  }

  private func endClient(of listener: ListeningSocket) {
    listener.remove()
    waitUntilFree(before: .after(Self.handover))
  }

  /// Waits until no client is served, or the deadline has passed.
  package func waitUntilFree(before deadline: Deadline) {
    _ = state.withLock(when: { $0.client == nil }, before: deadline) { _ in }
  }
}

extension SystemCallError {
  /// Whether accepting failed because the process or the machine has run out of something, which may
  /// come back.
  var isShortage: Bool {
    switch code {
    case .tooManyOpenFiles, .tooManyOpenFilesInSystem, .noBufferSpace, .noMemory: true
    default: false
    }
  }
}
