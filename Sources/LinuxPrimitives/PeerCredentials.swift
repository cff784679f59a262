internal import CLinux

/// Who is at the other end of a UNIX socket (`SO_PEERCRED`).
package struct PeerCredentials: Equatable, Sendable {
  /// The process ID.
  package let process: Int32
  package let user: UInt32

  package init(process: Int32, user: UInt32) {
    self.process = process
    self.user = user
  }

  /// Nil if the system does not say.
  package init?(of socket: borrowing OwnedDescriptor) {
    var peer = clinux_peer()
    // Sound: the structure is lent for the call.
    guard unsafe clinux_peer_of(socket.number, &peer) == 0 else { return nil }
    (process, user) = (peer.process, peer.user)
  }
}
