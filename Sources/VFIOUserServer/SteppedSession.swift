/// One client of a server, without a listener, driven step by step on the caller's thread; for fuzzing.
package struct SteppedSession: ~Copyable {
  private let server: DeviceServer
  private let socket: MessageSocket
  private var session: Session

  /// Takes the server's end of a connection.
  package init(_ server: DeviceServer, _ socket: MessageSocket) {
    self.server = server
    self.socket = socket
    session = Session(socket, server.dispatcher, hasThread: false)
  }

  /// Serves all that can be served without blocking.
  ///
  /// - Throws: why the connection has to end.
  package mutating func proceed() throws(StreamError) { try session.proceed() }

  /// Ends the service of the client.
  package consuming func end() {
    server.finish(socket, .closedByPeer)
  }
}
