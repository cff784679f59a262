internal import LinuxPrimitives
internal import CLinux
public import SystemPackage

/// A pseudo-terminal: the port uses the master side, other programs open the device at ``path``.
///
/// It is in raw mode, so that all bytes pass unchanged. The slave side is kept open here too:
/// otherwise the kernel would report a hang-up when the last program closes the device, and raw
/// mode would have to be set again for the next one. So bytes that nobody has read yet stay in the
/// kernel's buffer across any number of opens and closes, and when it is full the guest waits.
public final class PseudoTerminal: Sendable {
  /// The path of the device, `/dev/pts/3` for example.
  ///
  /// It exists until the last reference is released.
  public let path: FilePath
  let master: ByteStream
  private let slave: OwnedDescriptor
  private let kept: [KeptDescriptor]

  /// Creates a pseudo-terminal.
  ///
  /// - Parameter keptName: by which a new version of the program takes the terminal over; nil if it need not.
  /// - Throws: the error of the kernel, `ENOSPC` if no more pseudo-terminals are available.
  public init(keptAs keptName: String? = nil) throws(SystemCallError) {
    var name = [CChar](repeating: 0, count: 256)
    if let keptName, let master = KeptDescriptor.take("master of \(keptName)"),
      let slave = KeptDescriptor.take("slave of \(keptName)")
    {
      // Sound: the length is that of the array, and the name is NUL-terminated.
      _ = try checked("ptsname", unsafe clinux_terminal_name(master.number, &name, name.count))
      self.master = .nonBlocking(master)
      self.slave = slave
    } else {
      var slave: Int32 = -1
      // Sound: as above.
      let master = unsafe clinux_pseudo_terminal(&slave, &name, name.count)
      self.master = .nonBlocking(
        OwnedDescriptor(adopting: try checked("posix_openpt", master)))
      self.slave = OwnedDescriptor(adopting: slave)
    }
    let (masterNumber, slaveNumber) = (self.master.descriptor.number, self.slave.number)
    kept =
      keptName.map {
        [
          KeptDescriptor("master of \($0)", number: masterNumber),
          KeptDescriptor("slave of \($0)", number: slaveNumber),
        ]
      } ?? []
    let end = name.firstIndex(of: 0) ?? name.count
    path = FilePath(String(decoding: name[..<end].map { UInt8(bitPattern: $0) }, as: UTF8.self))
  }
}
