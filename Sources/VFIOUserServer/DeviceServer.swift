internal import CLinux
internal import Logging
internal import SystemPackage
package import VFIOUserProtocol
public import VFIOUserTransport

/// Serves one device to one client at a time.
///
/// The thread that calls ``run(on:)`` accepts clients; each client is served by a thread of its own,
/// which reads, calls the device and replies without a hop. A second client gets EBUSY. When a client
/// goes, the device keeps its state and takes the next one.
public final class DeviceServer: Sendable {
  struct State {
    var client: MessageSocket?
    var isStopping = false
  }

  let endpoint: Endpoint
  let state = Monitor(State())
  private let wakeUp: OwnedDescriptor
  var logger: Logger { endpoint.logger }

  /// How long a restarted client waits for its predecessor, whose connection has ended, to be cleared
  /// away.
  static let handover: Duration = .seconds(2)
  /// How long a second client waits for the first to turn out to be dead.
  private static let grace: Duration = .milliseconds(100)
  /// Most clients that wait for their refusal at the same time; more are closed without a word.
  static let mostRefusals = 16

  /// Makes a server, and attaches the device to its bus.
  ///
  /// - Throws: ``PCIDescription/Flaw`` when the device's description contradicts itself.
  public convenience init(_ device: any Device, _ options: ServerOptions = ServerOptions()) throws {
    try self.init(device, options, features: [:])
  }

  /// Makes a server that knows features of the device.
  package init(
    _ device: any Device, _ options: ServerOptions = ServerOptions(),
    features: [FeatureIndex: any DeviceFeatureHandler]
  ) throws {
    endpoint = try Endpoint(device, options, features: features)
    wakeUp = OwnedDescriptor(adopting: try checked("eventfd", clinux_eventfd()))
  }

  /// Accepts and serves clients until ``stop()``; the socket is removed at the end.
  ///
  /// - Throws: when waiting for clients fails; a client that fails ends only itself.
  public func run(on listener: ListeningSocket) throws(SystemFailure) {
    defer { endClient(of: listener) }
    var refusals = Refusals(limit: Self.mostRefusals, timeout: .seconds(1))
    while !state.withLock({ $0.isStopping }) {
      let isCallerWaiting = try wait(for: listener, &refusals)
      refusals.proceed()
      if isCallerWaiting { try admit(listener.accept(), &refusals) }
    }
  }

  /// Serves one client whose socket was handed in, until the connection ends.
  ///
  /// - Returns: why it ended; `closedByUs` at once when another client is being served.
  @discardableResult
  public func serve(_ socket: MessageSocket) -> StreamFailure {
    guard claim(for: socket) else { return .closedByUs }
    return session(socket)
  }

  /// Whether a client has hung up, or does so within a moment: the kernel takes up to 30 ms to close the
  /// socket of a QEMU that was killed.
  private func isGone(_ holder: MessageSocket) -> Bool {
    _ = try? holder.wait(for: [], before: .after(Self.grace))
    return holder.peerHasHungUp
  }

  /// Ends the client's connection and makes ``run(on:)`` return.
  ///
  /// May be called from any thread.
  public func stop() {
    state.update { state in
      state.isStopping = true
      state.client?.shutdown()
    }
    _ = clinux_eventfd_signal(wakeUp.number)
  }

  /// Whether a client is being served.
  public var hasClient: Bool { state.withLock { $0.client != nil } }

  private func wait(
    for listener: ListeningSocket, _ refusals: inout Refusals
  ) throws(SystemFailure) -> Bool {
    var polled = ([listener.descriptor.number, wakeUp.number] + refusals.numbers).map {
      clinux_interest(descriptor: $0, wanted: Int16(CLINUX_READABLE), happened: 0)
    }
    _ = try checked(
      "ppoll", unsafe clinux_poll(&polled, Int32(polled.count), refusals.deadline.remaining))
    _ = clinux_eventfd_take(wakeUp.number)
    return polled[0].happened != 0
  }

  private func admit(_ descriptor: consuming OwnedDescriptor, _ refusals: inout Refusals) {
    let socket = MessageSocket(adopting: descriptor)
    if let holder = state.withLock({ $0.client }), isGone(holder) {
      // A restarted VMM must not race its own predecessor.
      holder.shutdown()
      _ = state.withLock(when: { $0.client == nil }, before: .after(Self.handover)) { _ in }
    }
    guard claim(for: socket) else {
      logger.notice("refused a second client")
      return refusals.add(socket)
    }
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
      return true
    }
  }

  private func session(_ socket: MessageSocket) -> StreamFailure {
    let reason = Session.serve(socket, endpoint)
    // Threads of the device that send to this client or wait for it must not go on doing so.
    socket.shutdown()
    endpoint.clientLeft()
    logger.info("the client is gone", metadata: ["reason": "\(reason)"])
    release()
    return reason
  }

  func release() {
    state.update { $0.client = nil }
    _ = clinux_eventfd_signal(wakeUp.number)
  }

  private func endClient(of listener: ListeningSocket) {
    listener.remove()
    _ = state.withLock(when: { $0.client == nil }, before: .after(Self.handover)) { _ in }
  }
}
