internal import LinuxPrimitives
internal import CLinux
internal import Glibc
internal import Synchronization
public import SystemPackage

/// A file, a block device or memory that a namespace is made of, open and locked.
///
/// Two controllers, in whatever process, never write the same file: those who write hold an
/// exclusive lock, those who only read share one. A block device that is written to is claimed besides, so
/// that it cannot be mounted meanwhile, nor be served under another name. For a migration one process gives up the
/// lock, and another one takes it; without the lock the file is open for reading only.
public final class StorageFile: Storage, @unchecked Sendable {
  // Sound: as in the class above.

  /// The descriptor, for an engine's system calls.
  package let descriptor: OwnedDescriptor
  /// The lock, and what is in memory, belong to this very open file: a new version of the program needs it.
  private let kept: KeptDescriptor
  /// How large it was before it was made larger just now.
  let sizeBefore: UInt64?
  /// The bytes, where they are in memory of ours.
  let memory: DiskMemory?
  /// Nil where nothing is written, or nothing can be lost.
  private let witness: LossWitness?
  /// Whether the file system has refused to write without waiting.
  private let mayWait = Atomic<Bool>(false)

  /// Opens and locks a file or a block device.
  ///
  /// - Parameters:
  ///   - path: where it is.
  ///   - create: the size of a file to be made, if there is none; it takes no room before it is
  ///     written to.
  ///   - cache: when written data is on the disk.
  ///   - isReadOnly: whether it must not be written to.
  ///   - isIncoming: whether another process serves it and will give it up, for a disk that migrates to this process.
  ///     It is neither made nor locked then, and is read only until the disk's state was loaded.
  /// - Throws: what the system says; `EAGAIN` from the lock when somebody else serves it, `EBUSY` for a block
  ///   device that is mounted or claimed.
  public convenience init(
    path: FilePath, create: UInt64? = nil, cache: CacheMode = .writeBack, isReadOnly: Bool = false,
    isIncoming: Bool = false
  ) throws(SystemCallError) {
    try self.init(
      path, create, cache, isReadOnly: isReadOnly, leastAlignment: 1, isIncoming: isIncoming)
  }

  /// - Parameter leastAlignment: for direct I/O that wants more than the system says, as with other disks.
  init(
    _ path: FilePath, _ create: UInt64? = nil, _ cache: CacheMode, isReadOnly: Bool = false,
    leastAlignment: Int, isIncoming: Bool = false
  ) throws(SystemCallError) {
    // Readers disturb nobody, and share their lock from the start.
    let isWaiting = isIncoming && !isReadOnly
    let how =
      (isReadOnly || isWaiting ? 0 : CLINUX_OPEN_WRITABLE)
      | (cache == .direct ? CLINUX_OPEN_DIRECT : 0)
    let opened = try OpenedFile(
      path, create: isReadOnly || isWaiting ? nil : create, how, isWaiting: isWaiting)
    let (info, isLocked, wasMade) = (opened.info, opened.isLocked, opened.wasMade)
    sizeBefore = opened.sizeBefore
    descriptor = opened.descriptor()
    witness = isReadOnly ? nil : LossWitness(of: descriptor.number)
    kept = KeptDescriptor(Self.keptName(path), descriptor)
    memory = nil
    super.init(
      info.kind == 2 ? .blockDevice : .file, name: path.string, cache: cache,
      isReadOnly: isReadOnly || info.is_read_only == 1,
      alignment: cache == .direct ? max(Int(info.direct_alignment), leastAlignment) : 1, path: path,
      wasMade: wasMade, isInMemory: info.in_memory == 1, isHeld: isLocked)
  }

  /// The name by which a new version of the program takes it over; that of memory is its own for ever.
  var keptName: String { kept.name }

  static func keptName(_ path: FilePath) -> String { "disk \(path)" }

  /// Memory of `size` bytes, all zeros; what is not written to takes no room.
  ///
  /// - Parameters:
  ///   - size: bytes.
  ///   - isReadOnly: whether it must not be written to.
  ///   - usesHugePages: whether the kernel is asked for pages of 2 MiB: what is written to takes that much at a time. Where
  ///     it has none, or its `shmem_enabled` is against it, the usual pages do.
  /// - Throws: what the system says.
  public init(
    memory size: UInt64, isReadOnly: Bool = false, usesHugePages: Bool = false
  ) throws(SystemCallError) {
    let kind = "disk in memory of \(size) bytes: "
    let keptName =
      KeptDescriptor.name(withPrefix: kind) ?? kind + UniqueID.random().hexadecimal
    descriptor = try Self.memory(size, keptName)
    kept = KeptDescriptor(keptName, descriptor)
    memory = DiskMemory(descriptor, size: size, usesHugePages: usesHugePages)
    witness = nil
    sizeBefore = nil
    super.init(
      .memory, name: "memory", cache: .writeBack, isReadOnly: isReadOnly, alignment: 1,
      wasMade: true, isInMemory: true)
  }

  /// The memory of the program before this one, or new memory.
  private static func memory(
    _ size: UInt64, _ keptName: String
  ) throws(SystemCallError) -> OwnedDescriptor {
    if let inherited = KeptDescriptor.take(keptName) { return inherited }
    let number = unsafe clinux_unsealed_memory_file("nvme", size)
    return OwnedDescriptor(adopting: try checked("memfd_create", number))
  }

  /// Bytes; asks the system each time.
  public override func size() throws(SystemCallError) -> UInt64 { try inspect().size }

  /// Bytes that take room on the host; asks the system each time.
  public func allocated() throws(SystemCallError) -> UInt64 { try inspect().allocated }

  override var identity: String? { foundIdentity }

  override func settle() throws(SystemCallError) { try settleFile() }
  override func letGo() throws(SystemCallError) { try unlock() }
  override func take() throws(SystemCallError) { try lockAgain() }

  /// Whether a durable write that failed so may have reported data from before it; may wait for the disk.
  ///
  /// A lack of room, or a limit on the size of files, usually has not: the write found none, and all else is where
  /// it was.
  override func mayHaveLostData(_ failure: Errno) -> Bool {
    guard failure.meansNoRoom || failure == .fileTooLarge, let witness else { return true }
    return witness.hasSeenLoss()
  }

  /// Whether a write can be asked not to wait, as far as is known.
  var takesNowaitWrites: Bool { !mayWait.load(ordering: .relaxed) }

  /// It cannot.
  func refuseNowaitWrites() { mayWait.store(true, ordering: .relaxed) }

  /// Waits until everything that was written is on the disk.
  ///
  /// - Returns: what went wrong.
  func synchronize() -> Errno? {
    let result = clinux_storage_sync(descriptor.number)
    // Memory may have nothing to flush. Of a file that would mean that nobody can promise anything.
    if result == -EINVAL, isInMemory { return nil }
    return result == 0 ? nil : Errno(rawValue: -result)
  }

  func inspect() throws(SystemCallError) -> clinux_storage_info {
    try OpenedFile.inspect(descriptor)
  }
}

extension Errno {
  /// Whether there is no room on the disk (ENOSPC), or no more for this user (EDQUOT).
  var meansNoRoom: Bool { self == .noSpace || self == .diskQuotaExceeded }
}
