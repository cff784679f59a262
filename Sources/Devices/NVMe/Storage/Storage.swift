internal import LinuxPrimitives
internal import Synchronization
internal import SystemPackage

/// When written data is on the disk.
public enum CacheMode: String, CaseIterable, Sendable {
  /// When the guest flushes; the host's page cache has it until then.
  case writeBack = "write-back"
  /// When the command is done; the host's page cache serves reads.
  case writeThrough = "write-through"
  /// When the guest flushes; the host's page cache is not used.
  case direct
}

/// What a namespace is made of: a ``StorageFile`` of this machine, or an ``NBDExport`` of a server.
public class Storage: @unchecked Sendable {
  // Sound: everything is immutable or atomic, here and in the two classes that are derived from this.

  /// What it is.
  public enum Kind: Equatable, Sendable {
    /// A regular file.
    case file
    /// A block device.
    case blockDevice
    /// Memory, gone with the process.
    case memory
    /// An export of an NBD server.
    case export
  }

  /// What it is.
  public final let kind: Kind
  /// What to call it in messages.
  public final let name: String
  /// When written data is on the disk.
  public final let cache: CacheMode
  /// Whether it must not be written to.
  public final let isReadOnly: Bool
  /// What offsets and sizes, and with direct I/O addresses, have to be multiples of.
  public final let alignment: Int
  /// Where it was opened; nil for what has no path.
  final let path: FilePath?
  /// Whether it was made just now, so that nobody has written to it before.
  public final let wasMade: Bool
  /// Whether its bytes are always in memory, so that no read waits for a disk.
  final let isInMemory: Bool
  /// Whether this process has what keeps others away; see `StorageFile+Holding.swift`.
  final let holding: Atomic<Bool>
  /// The failure that the next flush has to report; 0 for none.
  private let owed = Atomic<CInt>(0)

  init(
    _ kind: Kind, name: String, cache: CacheMode, isReadOnly: Bool, alignment: Int,
    path: FilePath? = nil, wasMade: Bool = false, isInMemory: Bool = false, isHeld: Bool = true
  ) {
    self.kind = kind
    self.name = name
    self.cache = cache
    self.isReadOnly = isReadOnly
    self.alignment = alignment
    self.path = path
    self.wasMade = wasMade
    self.isInMemory = isInMemory
    holding = Atomic(isHeld)
  }

  /// Bytes.
  ///
  /// - Throws: what the system says.
  public func size() throws(SystemCallError) -> UInt64 { 0 }

  /// What distinguishes it from all others, whatever it is called and whenever the machine was started; nil where
  /// nothing does.
  var identity: String? { nil }

  /// The pieces in which it is written and deallocated best; bytes, a power of two.
  var granularity: Int { 4096 }

  /// Whether a durable write that failed so may have reported data from before it; may wait for the disk.
  func mayHaveLostData(_ failure: Errno) -> Bool { true }

  /// Whether blocks of so many bytes can be read and written one by one.
  final func takes(blockSize: Int) -> Bool { blockSize % alignment == 0 }

  /// Whether this process may use it; false from `letGo()` to `take()`, and at first for what is incoming.
  final var isHeld: Bool { holding.load(ordering: .acquiring) }

  /// Whether there is anything to give up: readers share it, and nobody else has our memory.
  final var isExclusive: Bool { kind != .memory && !isReadOnly }

  // MARK: A disk that migrates

  /// Brings everything that was written to the disk, and tells the host of failures with its next flush.
  ///
  /// - Throws: the failure, or one that the host has still to hear of.
  func settle() throws(SystemCallError) {
    guard isExclusive, isHeld, deferredFlushError != 0 else { return }
    throw SystemCallError(call: "flush", code: .ioError)
  }

  /// Gives up what keeps others away.
  ///
  /// - Precondition: no request is under way, and everything is on the disk.
  func letGo() throws(SystemCallError) {
    if isExclusive { holding.store(false, ordering: .releasing) }
  }

  /// Takes (back) what keeps others away.
  ///
  /// - Throws: `EAGAIN` or `EBUSY` while another process has it.
  func take() throws(SystemCallError) { holding.store(true, ordering: .releasing) }

  // MARK: Failures that a flush has to report

  /// The next flush has to fail with this.
  final func deferFlushError(_ failure: Errno) {
    // With this mode nobody has written anything that waits for a flush.
    if cache != .writeThrough { owed.store(failure.rawValue, ordering: .relaxed) }
  }

  /// The errno of a failed flush of which the host has still to hear; 0 for none.
  final var deferredFlushError: CInt { owed.load(ordering: .relaxed) }

  /// The failure that a flush has to report, if any; reported once.
  final func takeDeferredFlushError() -> Errno? {
    guard owed.load(ordering: .relaxed) != 0 else { return nil }
    let failure = owed.exchange(0, ordering: .relaxed)
    return failure == 0 ? nil : Errno(rawValue: failure)
  }
}
