internal import CLinux
public import SystemPackage
public import VFIOUserTransport

/// A pseudo-terminal: the port holds the master side, others open the device at ``path``.
///
/// It is raw, so that all bytes pass unharmed. The slave side is kept open here as well. That is what
/// makes it safe to have nobody at the other end: without it the kernel reports a hang-up when the
/// last program closes the device, and the raw mode would have to be won again from the next one.
/// So bytes that nobody reads yet stay in the kernel's buffer, through any number of opens and
/// closes, and when that is full the guest waits.
public final class PseudoTerminal: Sendable {
  /// The device to open, `/dev/pts/3` for example.
  ///
  /// It is there until the last reference goes.
  public let path: FilePath
  let master: ByteStream
  private let slave: OwnedDescriptor

  /// Makes one.
  ///
  /// - Throws: what the kernel said, `ENOSPC` when there may be no more of them.
  public init() throws(SystemCallError) {
    var slave: Int32 = -1
    var name = [CChar](repeating: 0, count: 256)
    // Sound: the length is that of the array, and the name comes back with its NUL.
    let master = unsafe clinux_pseudo_terminal(&slave, &name, name.count)
    self.master = .nonBlocking(
      OwnedDescriptor(adopting: try checked("posix_openpt", master)))
    self.slave = OwnedDescriptor(adopting: slave)
    let end = name.firstIndex(of: 0) ?? name.count
    path = FilePath(String(decoding: name[..<end].map { UInt8(bitPattern: $0) }, as: UTF8.self))
  }
}
