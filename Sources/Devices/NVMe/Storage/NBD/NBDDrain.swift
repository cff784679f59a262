internal import CLinux
internal import Glibc

/// A connection that this side has given up, until the server is done with what it was asked for.
///
/// A write of that must not come behind a newer write of the same blocks, so nothing else is sent meanwhile. The server is
/// done when it has answered every command that changes blocks. Only when that cannot be known, since it has a write in part or
/// what it sends is not understood, this side closes its half and waits until the server has closed the other: not
/// before, as qemu-nbd closes at once, while a write may hang in its disk.
final class NBDDrain {
  let transport: any NBDTransport
  /// What libnbd may still touch.
  private let memory: [PageBuffer]
  private var isHalfClosed = false
  /// More than what was asked for can be.
  private var left = NBDConnection.mostCommands * NBDFacts.mostBytes
  /// When it began; nanoseconds.
  let since: UInt64
  /// What happened to the socket, as `clinux_poll` says.
  var events: Int16 = 0

  /// - Parameter memory: of the commands of the connection.
  init(_ transport: any NBDTransport, _ memory: [PageBuffer], at now: UInt64) {
    self.transport = transport
    self.memory = transport.usesMemory ? memory : []
    since = now
    transport.giveUp()
  }

  var wanted: Int16 { isHalfClosed ? Int16(CLINUX_READABLE) : transport.wanted }

  /// Drops what has come.
  ///
  /// - Returns: whether the server is done.
  func isOver() -> Bool {
    if !isHalfClosed {
      if !transport.isSilent, !transport.needsPoll || events != 0 {
        _ = transport.receive(events) { _, _ in }
      }
      events = 0
      if !transport.isSilent {
        if transport.isChanging { return false }
        if !transport.isCut { return true }
      }
      isHalfClosed = true
      _ = shutdown(transport.descriptor, Int32(SHUT_WR))
    }
    return hasEnded()
  }

  /// Whether the server has closed its side.
  private func hasEnded() -> Bool {
    // A turn does not belong to a server that sends without end.
    for _ in 0..<16 {
      let (count, error) = unsafe withUnsafeTemporaryAllocation(
        byteCount: 16 << 10, alignment: 16
      ) { bytes in
        // Sound: the memory is lent for the call.
        let count = unsafe recv(
          transport.descriptor, bytes.baseAddress, bytes.count, Int32(MSG_DONTWAIT))
        return (count, errno)
      }
      if count < 0 { return error != EAGAIN && error != EINTR }
      left -= count
      if count == 0 || left < 0 { return true }
    }
    return false
  }
}
