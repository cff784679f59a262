internal import LinuxPrimitives
internal import CLinux
internal import SystemPackage

/// A file or a block device on its way to become a ``StorageFile``: opened, locked, then looked at, in this
/// order, so that nobody changes what was seen.
struct OpenedFile: ~Copyable {
  private let own: OwnedDescriptor
  let info: clinux_storage_info
  /// Whether it was not there before.
  let wasMade: Bool
  /// How large it was before it was made larger.
  let sizeBefore: UInt64?
  /// Whether it is locked; false for one that is only looked at for now.
  let isLocked: Bool

  /// - Parameters:
  ///   - path: where it is.
  ///   - create: the size of a file to be made if there is none; one that is smaller grows to it.
  ///   - how: CLINUX_OPEN_*.
  ///   - isWaiting: whether another process may have the lock. It is taken only if the program before this one had it.
  init(
    _ path: FilePath, create: UInt64?, _ how: CInt, isWaiting: Bool = false
  ) throws(SystemCallError) {
    let (number, wasMade) = try Self.open(path, mayCreate: create != nil, how)
    let descriptor = OwnedDescriptor(adopting: number)
    let locks = !isWaiting || clinux_storage_is_writable(descriptor.number) == 1
    do throws(SystemCallError) {
      let isWritable = how & CLINUX_OPEN_WRITABLE != 0
      if locks {
        _ = try checked(
          "fcntl(F_OFD_SETLK)",
          clinux_storage_lock(descriptor.number, isWritable || isWaiting ? 1 : 0))
      }
      var info = try Self.inspect(descriptor)
      guard info.kind != 0 else { throw SystemCallError(call: "open", code: .notSupported) }
      var sizeBefore: UInt64?
      if let create, info.size < create, info.kind == 1 {
        sizeBefore = info.size
        _ = try checked("ftruncate", clinux_storage_resize(descriptor.number, create))
        info = try Self.inspect(descriptor)
      }
      if wasMade { try Self.keep(path, descriptor) }
      self.info = info
      self.sizeBefore = sizeBefore
    } catch {
      if wasMade { Self.remove(path) }
      throw error
    }
    self.wasMade = wasMade
    isLocked = locks
    own = descriptor
  }

  consuming func descriptor() -> OwnedDescriptor { own }

  /// - Returns: the descriptor, and whether the file was not there before.
  private static func open(
    _ path: FilePath, mayCreate: Bool, _ how: CInt
  ) throws(SystemCallError) -> (number: CInt, wasMade: Bool) {
    if let inherited = KeptDescriptor.take(StorageFile.keptName(path)) {
      let isDirect = how & CLINUX_OPEN_DIRECT != 0
      guard (clinux_storage_is_direct(inherited.number) != 0) == isDirect else {
        throw SystemCallError(
          call: "open with another cache mode than the program before", code: .notSupported)
      }
      return (inherited.release(), false)
    }
    func attempt(_ how: CInt) -> CInt {
      // Sound: the string is lent for the call.
      unsafe path.withPlatformString { unsafe clinux_storage_open($0, how) }
    }
    var number = attempt(how)
    if number == -Errno.noSuchFileOrDirectory.rawValue, mayCreate {
      number = attempt(how | CLINUX_OPEN_NEW)
      if number >= 0 { return (number, true) }
      // Somebody else has made it in between.
      if number == -Errno.fileExists.rawValue { number = attempt(how) }
    }
    return (try checked("open", number), false)
  }

  /// The size and the name of a new file outlive the machine's power.
  private static func keep(
    _ path: FilePath, _ descriptor: borrowing OwnedDescriptor
  ) throws(SystemCallError) {
    _ = try checked("fdatasync", clinux_storage_sync(descriptor.number))
    try path.folder.synchronizeFolder()
  }

  private static func remove(_ path: FilePath) {
    // Sound: the string is lent for the call.
    _ = unsafe path.withPlatformString { unsafe clinux_unlink($0) }
  }

  static func inspect(
    _ descriptor: borrowing OwnedDescriptor
  ) throws(SystemCallError) -> clinux_storage_info {
    var info = clinux_storage_info()
    _ = try checked("fstat", unsafe clinux_storage_inspect(descriptor.number, &info))
    return info
  }
}

extension StorageFile {
  /// Removes a file that was made just now, or gives it the size that it had, because the disk cannot be had.
  public func removeMadeFiles() {
    if !wasMade, let sizeBefore { _ = clinux_storage_resize(descriptor.number, sizeBefore) }
    guard wasMade, let path, let mine = try? inspect() else { return }
    var there = clinux_storage_info()
    // Sound: string and result are lent for the calls. The name may be another file's by now.
    let number = unsafe path.withPlatformString { unsafe clinux_storage_open($0, 0) }
    guard number >= 0 else { return }
    let descriptor = OwnedDescriptor(adopting: number)
    guard unsafe clinux_storage_inspect(descriptor.number, &there) == 0,
      there.device == mine.device, there.inode == mine.inode
    else { return }
    _ = unsafe path.withPlatformString { unsafe clinux_unlink($0) }
  }
}

extension FilePath {
  /// The folder that the path is in.
  var folder: FilePath {
    let parent = removingLastComponent()
    return parent.isEmpty ? "." : parent
  }

  /// What was made, renamed or removed in a folder stays so.
  func synchronizeFolder() throws(SystemCallError) {
    // Sound: the string is lent for the call.
    _ = try checked("fsync", unsafe withPlatformString { unsafe clinux_sync_folder($0) })
  }
}
