internal import CLinux
internal import LinuxPrimitives
internal import Synchronization
internal import SystemPackage

/// Giving up the right to write a file, and taking it (back): a disk that migrates is written by one process at a time.
///
/// The open file behind the descriptor is exchanged, the number stays: without the lock there is none that can be
/// written to, so that no error of ours could write. It is opened again by /proc, which leads to the same file
/// whatever its path leads to by now.
extension StorageFile {
  /// ``Storage/settle()``.
  func settleFile() throws(SystemCallError) {
    guard isExclusive, isHeld else { return }
    guard deferredFlushError == 0 else { throw SystemCallError(call: "fdatasync", code: .ioError) }
    guard let failure = synchronize() else { return }
    deferFlushError(failure)
    throw SystemCallError(call: "fdatasync", code: failure)
  }

  /// Gives up the lock, and the claim of a block device.
  ///
  /// - Precondition: no request is under way, and everything is on the disk.
  func unlock() throws(SystemCallError) {
    guard isExclusive, isHeld else { return }
    let reader = try opened(writable: false)
    let writer = try descriptor.duplicate()
    _ = try checked("dup3", clinux_storage_replace(descriptor.number, reader.number))
    holding.store(false, ordering: .releasing)
    // The open file may live on in a process that is just being started.
    _ = clinux_storage_unlock(writer.number)
  }

  /// Takes the lock, and claims a block device.
  ///
  /// - Throws: `EAGAIN` from the lock, or `EBUSY` from the opening of a device, while another process has the file.
  func lockAgain() throws(SystemCallError) {
    guard isExclusive, !isHeld else { return }
    let writer = try opened(writable: true)
    _ = try checked("fcntl(F_OFD_SETLK)", clinux_storage_lock(writer.number, 1))
    _ = try checked("dup3", clinux_storage_replace(descriptor.number, writer.number))
    holding.store(true, ordering: .releasing)
  }

  private func opened(writable: Bool) throws(SystemCallError) -> OwnedDescriptor {
    let how =
      (writable ? CLINUX_OPEN_WRITABLE : 0) | (cache == .direct ? CLINUX_OPEN_DIRECT : 0)
    let path = FilePath("/proc/self/fd/\(descriptor.number)")
    // Sound: the string is lent for the call.
    let number = unsafe path.withPlatformString { unsafe clinux_storage_open($0, how) }
    return OwnedDescriptor(adopting: try checked("open", number))
  }
}
