internal import CLinux
internal import LinuxPrimitives
package import SystemPackage
package import VFIOUserTransport

/// Stands between clients and a server: listens, and forwards each client to the server.
///
/// Clients are connected as they come; whether a second one is served at the same time is the server's
/// business.
package final class Proxy: Sendable {
  private let listener: ListeningSocket
  private let server: FilePath
  private let tap: any ProxyTap
  private let wake: EventFD
  private let state = Monitor(State())

  private struct State {
    var connections: [ProxiedConnection] = []
    var accepted = 0
    var isStopping = false
    var isAccepting = true
  }

  /// How long a server may take to accept.
  private static let connectTimeout = Duration.seconds(5)

  package init(
    _ listener: ListeningSocket, to server: FilePath, _ tap: any ProxyTap
  ) throws(SystemCallError) {
    self.listener = listener
    self.server = server
    self.tap = tap
    wake = try EventFD()
    listener.neverWait()
  }

  /// Number of clients that have come.
  package var accepted: Int { state.withLock { $0.accepted } }

  /// Whether clients are connected.
  package var isBusy: Bool { state.withLock { $0.connections.contains(where: \.isRunning) } }

  /// Accepts clients until ``stop(within:)``; on the calling thread.
  package func run() {
    defer { state.update { $0.isAccepting = false } }
    while !state.withLock({ $0.isStopping }) {
      guard waitForClient() else { continue }
      do throws(SystemCallError) {
        let descriptor = try listener.accept()
        connect(MessageSocket(adopting: descriptor))
      } catch {
        guard error.code != .resourceTemporarilyUnavailable, error.code != .connectionAbort else {
          continue
        }
        if listener.isShutDown || error.code == .invalidArgument {
          tap.happened(.stopped(reason: error.description))
          return
        }
        // Out of descriptors or memory: what frees some is the end of another connection.
        tap.happened(.failed(connection: 0, reason: error.description))
        _ = clinux_poll(nil, 0, 100_000_000)
      }
    }
  }

  private func waitForClient() -> Bool {
    wake.withDescriptor { waker in
      var interests: [2 of clinux_interest] = [
        clinux_interest(
          descriptor: listener.descriptor.number, wanted: Int16(CLINUX_READABLE), happened: 0),
        clinux_interest(descriptor: waker, wanted: Int16(CLINUX_READABLE), happened: 0),
      ]
      var span = interests.mutableSpan
      let ready = unsafe span.withUnsafeMutableBufferPointer {
        unsafe clinux_poll($0.baseAddress, 2, -1)
      }
      return ready > 0 && interests[0].happened != 0
    }
  }

  private func connect(_ client: MessageSocket) {
    let number = state.withLock { state in
      state.accepted += 1
      state.connections.removeAll { !$0.isRunning }
      return state.accepted
    }
    do throws(SystemCallError) {
      let socket = try MessageSocket(connectingTo: server, before: .after(Self.connectTimeout)) {
        !state.withLock { $0.isStopping }
      }
      let connection = ProxiedConnection(number, client: client, server: socket, tap)
      let process = PeerCredentials(of: client.descriptor)?.process
      tap.happened(.opened(connection: number, process: process))
      let isWanted = state.withLock { state in
        state.connections.append(connection)
        return !state.isStopping
      }
      guard isWanted else { return connection.abort() }
      try connection.start()
    } catch {
      tap.happened(.refused(connection: number, reason: "\(server): \(error)"))
      client.shutdown()
    }
  }

  /// Ends all connections: what has arrived is forwarded, if the receivers take it in time.
  package func stop(within patience: Duration) {
    let connections = state.update { state in
      state.isStopping = true
      return state.connections
    }
    wake.signal()
    for connection in connections { connection.stop() }
    let deadline = Deadline.after(patience)
    for connection in connections where !connection.waitForEnd(before: deadline) {
      connection.abort()
      _ = connection.waitForEnd(before: .after(.seconds(1)))
    }
    listener.remove()
  }
}
