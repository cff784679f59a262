/// One client of a server that is driven step by step, on the thread of the caller, without a listener:
/// for fuzzing.
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

  /// Serves what is there.
  ///
  /// - Throws: why the connection has to end.
  package mutating func proceed() throws(StreamError) { try session.proceed() }

  /// The client has gone.
  package consuming func end() {
    socket.shutdown()
    server.dispatcher.clientLeft()
  }
}
