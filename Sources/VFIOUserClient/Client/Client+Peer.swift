package import LinuxPrimitives

extension Client {
  /// The process that listened where this client has connected; nil if the system does not say.
  package var peer: PeerCredentials? {
    PeerCredentials(of: supervisor.last.connection.socket.descriptor)
  }
}
