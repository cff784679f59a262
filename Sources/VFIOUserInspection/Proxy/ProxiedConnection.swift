internal import CLinux
internal import LinuxPrimitives
internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

/// One client and the server behind a proxy, with two threads for each socket.
final class ProxiedConnection: Sendable {
  let number: Int
  private let client: ProxySocket
  private let server: ProxySocket
  private let tap: any ProxyTap
  private let state = Monitor(State())

  private struct State {
    var running = 0
    var twin: [ProxySocket] = []
    var closedBy: MessageDirection?
    var isStopping = false
  }

  init(_ number: Int, client: MessageSocket, server: MessageSocket, _ tap: any ProxyTap) {
    self.number = number
    self.client = ProxySocket(client)
    self.server = ProxySocket(server)
    self.tap = tap
  }

  /// Begins to forward.
  func start() throws(SystemCallError) {
    try startPumps(client, server, isTwin: false)
  }

  /// Whether anything is forwarded still.
  var isRunning: Bool { state.withLock { $0.running > 0 } }

  /// Waits for the end.
  ///
  /// - Returns: whether it has come.
  func waitForEnd(before deadline: Deadline) -> Bool {
    state.withLock(when: { $0.running == 0 }, before: deadline) { _ in true } ?? false
  }

  /// Receives no more; what has arrived is forwarded.
  func stop() {
    for socket in sockets(stopping: true) { socket.stopReceiving() }
  }

  /// Ends it, whatever is in flight.
  func abort() {
    for socket in sockets(stopping: true) { socket.shutdown() }
  }

  private func sockets(stopping: Bool) -> [ProxySocket] {
    state.withLock {
      $0.isStopping = stopping
      return [client, server] + $0.twin
    }
  }

  private func startPumps(
    _ client: ProxySocket, _ server: ProxySocket, isTwin: Bool
  ) throws(SystemCallError) {
    let toServer = TracedStream(connection: number, isTwin: isTwin, direction: .toServer)
    try start(from: client, to: server, toServer)
    do throws(SystemCallError) {
      try start(from: server, to: client, toServer.opposite)
    } catch {
      client.shutdown()
      server.shutdown()
      throw error
    }
  }

  private func start(
    from source: ProxySocket, to destination: ProxySocket, _ stream: TracedStream
  ) throws(SystemCallError) {
    state.withLock { $0.running += 1 }
    do throws(SystemCallError) {
      try DetachedThread.start("trace-\(number)") { [self] in
        pump(from: source, to: destination, stream)
      }
    } catch {
      state.update { $0.running -= 1 }
      throw error
    }
  }

  /// The body of a thread.
  private func pump(
    from source: ProxySocket, to destination: ProxySocket, _ stream: TracedStream
  ) {
    let mayBringTwin = stream.direction == .toClient && !stream.isTwin
    let pump = Pump(
      from: source, to: destination, stream, tap,
      interception: mayBringTwin ? { [self] in interpose($0, &$1) } : nil)
    let end = pump.run()
    finish(end, source, destination, stream)
    tap.happened(.ended(stream))
    let isLast = state.update { state in
      state.running -= 1
      return state.running == 0 ? (true, state.closedBy) : (false, nil)
    }
    guard isLast.0 else { return }
    client.shutdown()
    server.shutdown()
    tap.happened(.closed(connection: number, by: isLast.1))
  }

  /// Passes the end of a direction on.
  private func finish(
    _ end: Pump.End, _ source: ProxySocket, _ destination: ProxySocket, _ stream: TracedStream
  ) {
    switch end {
    case .source:
      noteCloser(stream.direction.opposite)
      // A peer that has closed its socket takes no replies either; one that has shut down its
      // sending direction may wait for some.
      if source.hasHungUp { destination.shutdown() } else { destination.stopSending() }
    case .destination:
      noteCloser(stream.direction)
      source.stopReceiving()
    case .failed(let reason):
      tap.happened(.failed(connection: number, reason: reason))
      source.shutdown()
      destination.shutdown()
    }
  }

  /// Remembers who is gone first, as the direction towards him.
  private func noteCloser(_ direction: MessageDirection) {
    state.withLock { state in
      if state.closedBy == nil, !state.isStopping { state.closedBy = direction }
    }
  }

  /// Stands between client and server on the second socket too, which the reply to VERSION passes.
  private func interpose(_ message: Span<UInt8>, _ descriptors: inout [OwnedDescriptorBox]) {
    let payload = message.extracting(Header.wireSize..<message.count)
    guard let reply = try? VersionMessage(decoding: payload) else { return }
    let twin = reply.capabilities.effectiveTwinSocket
    guard twin.supported, let index = twin.descriptorIndex, descriptors.indices.contains(index),
      clinux_is_unix_stream(descriptors[index].number) == 1
    else { return }
    do throws(SystemCallError) {
      let toServer = ProxySocket(MessageSocket(adopting: try descriptors[index].duplicate()))
      let (ours, theirs) = try MessageSocket.pair()
      let passed = OwnedDescriptorBox(try theirs.descriptor.duplicate())
      let toClient = ProxySocket(ours)
      state.withLock { $0.twin = [toClient, toServer] }
      try startPumps(toClient, toServer, isTwin: true)
      descriptors[index] = passed
      tap.happened(.twin(connection: number))
    } catch {
      tap.happened(
        .failed(connection: number, reason: "the twin socket is not traced: \(error)"))
    }
  }
}
