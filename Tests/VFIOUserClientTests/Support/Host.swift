import SystemPackage
import TestSupport
import VFIOUserProtocol
import VFIOUserTransport

/// A server on a path that can go away and come back.
final class Host: Sendable {
  let path = FilePath("/tmp/vfio-user-host-\(UInt64.random(in: 0 ... .max)).sock")
  private let live = Monitor<Live?>(nil)

  private final class Live: Sendable {
    let listener: ListeningSocket
    let connections = Monitor<[MessageSocket]>([])

    init(_ path: FilePath) throws { listener = try ListeningSocket(path: path) }

    /// Runs the script with one client after the other.
    func run(_ script: @Sendable (ScriptedServer) throws -> Void) {
      while let descriptor = try? listener.accept() {
        let socket = MessageSocket(adopting: descriptor)
        connections.update { $0 = [socket] }
        let server = ScriptedServer(socket)
        try? script(server)
        socket.shutdown()
      }
    }

    func stop() {
      listener.remove()
      if let another = try? listener.descriptor.duplicate() {
        MessageSocket(adopting: another).shutdown()
      }
      disconnectAll()
    }

    func disconnectAll() { connections.withLock { for socket in $0 { socket.shutdown() } } }
  }

  /// Comes, or comes back.
  func start(_ script: @escaping @Sendable (ScriptedServer) throws -> Void) throws {
    let live = try Live(path)
    self.live.update { $0 = live }
    try DetachedThread.start("host") { live.run(script) }
  }

  /// Goes away, with everything that is connected.
  func stop() { live.withLock { $0.take() }?.stop() }

  /// Hangs up on everybody, and stays.
  func disconnectAll() { live.withLock { $0 }?.disconnectAll() }

  deinit { stop() }
}
