internal import LinuxPrimitives
internal import CLinux
internal import Glibc
internal import SystemPackage

/// A state file: opened so that nothing but a regular file of ours is ever written to.
final class StateFile: Sendable {
  let path: FilePath
  private let descriptor: OwnedDescriptor
  /// While it is locked: the lock belongs to this very open file, and a new version of the program needs it.
  private let kept = Monitor<KeptDescriptor?>(nil)

  /// The name by which a new version of the program takes the file over.
  private static func keptName(_ path: FilePath) -> String { "state \(path)" }

  /// What a look at a path finds.
  enum Look {
    case state(StateRecord, sequence: UInt64)
    case old(OldState)
    /// A file without a byte, as somebody makes to say who may write to it.
    case empty
  }

  /// Opens what is at a path, without following a link and without waiting.
  ///
  /// - Returns: nil when there is nothing.
  static func open(_ path: FilePath, isWritable: Bool) throws(StateFileError) -> StateFile? {
    if isWritable, let inherited = KeptDescriptor.take(keptName(path)) {
      return try StateFile(path, inherited)
    }
    do {
      let number = try FileDescriptor.open(
        path, isWritable ? .readWrite : .readOnly,
        options: [.noFollow, .nonBlocking, .closeOnExec, .init(rawValue: O_NOCTTY)])
      return try StateFile(path, OwnedDescriptor(adopting: number.rawValue))
    } catch let flaw as StateFileError {
      throw flaw
    } catch Errno.noSuchFileOrDirectory {
      return nil
    } catch Errno.tooManySymbolicLinkLevels, Errno.isDirectory {
      throw .foreign(path)
    } catch {
      throw .system(path, SystemCallError(call: "open", code: error as? Errno ?? .ioError))
    }
  }

  /// - Throws: `foreign` for anything but a regular file.
  init(_ path: FilePath, _ descriptor: consuming OwnedDescriptor) throws(StateFileError) {
    self.path = path
    self.descriptor = descriptor
    let info: clinux_storage_info
    do {
      info = try OpenedFile.inspect(self.descriptor)
    } catch {
      throw .system(path, error)
    }
    guard info.kind == 1 else { throw .foreign(path) }
  }

  /// Nobody else writes to it from here on.
  func lock() throws(StateFileError) {
    let result = clinux_storage_lock(descriptor.number, 1)
    guard result != -Errno.resourceTemporarilyUnavailable.rawValue else { throw .inUse(path) }
    guard result == 0 else {
      throw .system(
        path, SystemCallError(call: "fcntl(F_OFD_SETLK)", code: Errno(rawValue: -result)))
    }
    kept.withLock { $0 = KeptDescriptor(Self.keptName(path), descriptor) }
  }

  /// - Throws: what is wrong with it.
  func look() throws(StateFileError) -> Look {
    let bytes = try read()
    if bytes.isEmpty { return .empty }
    switch StateSlots.decode(bytes) {
    case .record(let record, let sequence): return .state(record, sequence: sequence)
    case .newer(let version):
      throw .newer(path, version: version, known: StateSlots.version)
    case .damaged: throw .damaged(path)
    case .foreign:
      guard let old = OldState(decoding: bytes) else { throw .foreign(path) }
      return .old(old)
    }
  }

  /// No more than could be a state.
  private func read() throws(StateFileError) -> [UInt8] {
    let most = max(StateSlots.fileSize, OldState.maxBytes) + 1
    let file = FileDescriptor(rawValue: descriptor.number)
    do {
      var bytes = [UInt8](repeating: 0, count: most)
      var count = 0
      while count < most {
        let more = try unsafe bytes.withUnsafeMutableBytes {
          try unsafe file.read(
            fromAbsoluteOffset: Int64(count), into: .init(rebasing: $0[count...]))
        }
        guard more > 0 else { break }
        count += more
      }
      return Array(bytes.prefix(count))
    } catch {
      throw .system(path, SystemCallError(call: "read", code: error as? Errno ?? .ioError))
    }
  }

  /// Writes a record to its slot; it is on the disk afterwards.
  func write(_ record: StateRecord, sequence: UInt64) throws(SystemCallError) {
    guard let bytes = StateSlots.encode(record, sequence: sequence) else {
      throw SystemCallError(call: "write", code: .fileTooLarge)
    }
    let file = FileDescriptor(rawValue: descriptor.number)
    do {
      try file.writeAll(
        toAbsoluteOffset: Int64(StateSlots.offset(of: sequence)), bytes)
    } catch {
      throw SystemCallError(call: "write", code: error as? Errno ?? .ioError)
    }
    _ = try checked("fdatasync", clinux_storage_sync(descriptor.number))
  }

  /// Makes a file with a record in both slots, so that writing it later takes no more room.
  ///
  /// - Parameter isInPlace: whether what is at the path gives way to it; else that is a failure.
  static func make(
    _ path: FilePath, _ record: StateRecord, isInPlace: Bool
  ) throws(SystemCallError) -> StateFile {
    let draft = FilePath(path.string + ".new-\(UInt64.random(in: 0 ... .max))")
    let number: FileDescriptor
    do {
      number = try FileDescriptor.open(
        draft, .readWrite, options: [.create, .exclusiveCreate, .noFollow, .closeOnExec],
        permissions: [.ownerReadWrite, .groupRead, .otherRead])
    } catch {
      throw SystemCallError(call: "open", code: error as? Errno ?? .ioError)
    }
    do {
      let file = try StateFile(path, OwnedDescriptor(adopting: number.rawValue))
      try file.lock()
      for sequence in 1...2 as ClosedRange<UInt64> {
        try file.write(record, sequence: sequence)
      }
      try draft.move(to: path, isInPlace: isInPlace)
      try path.folder.synchronizeFolder()
      return file
    } catch StateFileError.system(_, let failure) {
      draft.remove()
      throw failure
    } catch {
      draft.remove()
      throw error as? SystemCallError ?? SystemCallError(call: "open", code: .ioError)
    }
  }
}

extension FilePath {
  fileprivate func move(to other: FilePath, isInPlace: Bool) throws(SystemCallError) {
    // Sound: the strings are lent for the call.
    let result = unsafe withPlatformString { from in
      unsafe other.withPlatformString { to in
        unsafe isInPlace ? clinux_replace(from, to) : clinux_place(from, to, 0)
      }
    }
    _ = try checked("rename", result)
  }

  func remove() {
    // Sound: the string is lent for the call.
    _ = unsafe withPlatformString { unsafe clinux_unlink($0) }
  }

  /// Gives a file another name; the file that has that name gets this one's.
  func take(name other: FilePath) {
    // Sound: the strings are lent for the calls.
    unsafe withPlatformString { from in
      unsafe other.withPlatformString { to in
        if unsafe clinux_place(from, to, 0) != 0 { _ = unsafe clinux_place(from, to, 1) }
      }
    }
  }
}
