internal import CLinux
internal import Foundation
internal import Glibc
internal import LinuxPrimitives

/// A connection to a control socket, at either end.
final class ControlConnection: Sendable {
  private let descriptor: OwnedDescriptor

  init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }

  /// The descriptor number, to be handed over.
  var number: Int32 { descriptor.number }

  /// Who is at the other end; nil if the system does not say.
  var peer: PeerCredentials? { PeerCredentials(of: descriptor) }

  var isOfOurUser: Bool { peer.map { $0.user == 0 || $0.user == geteuid() } ?? false }

  /// Receives bytes up to a newline or the end of the stream.
  func receiveLine(atMost limit: Int, for patience: Duration) -> [UInt8]? {
    let deadline = Deadline.after(patience)
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 4096)
    while bytes.count <= limit, !deadline.hasPassed {
      var interest = clinux_interest(
        descriptor: descriptor.number, wanted: Int16(CLINUX_READABLE), happened: 0)
      // Sound: the structure is lent for the call; the count is that of the array.
      guard unsafe clinux_poll(&interest, 1, deadline.remaining) > 0 else { continue }
      let count = unsafe recv(descriptor.number, &piece, piece.count, Int32(MSG_DONTWAIT))
      guard count > 0 else { return bytes.isEmpty ? nil : bytes }
      bytes += piece[..<count]
      if let end = bytes.firstIndex(of: 0x0A) { return Array(bytes[..<end]) }
    }
    return nil
  }

  /// Sends a line, if the caller takes it.
  func send(_ answer: some Encodable) {
    guard let data = try? JSONEncoder().encode(answer) else { return }
    let bytes = Array(data) + [0x0A]
    // Sound: the count is that of the array.
    _ = unsafe Glibc.send(
      descriptor.number, bytes, bytes.count, Int32(MSG_DONTWAIT | MSG_NOSIGNAL))
  }
}
