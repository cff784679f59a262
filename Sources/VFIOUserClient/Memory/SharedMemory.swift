internal import LinuxPrimitives
internal import CLinux
internal import Synchronization
internal import SystemPackage

/// Memory that a client shares with devices: a file, or a part of one.
///
/// | made with | in this process | bytes of DMA messages come from |
/// |---|---|---|
/// | ``init(size:)`` | mapped by the initialiser | the mapping |
/// | ``init(adopting:offset:size:)`` | mapped by the initialiser | the mapping |
/// | ``init(adopting:offset:size:mappedAt:)`` | mapped by the caller | the caller's mapping |
/// | ``init(lending:offset:size:)`` | not mapped | `pread` and `pwrite` |
///
/// Devices may write to it at any time, so it can only be copied, or accessed atomically. A file that is
/// sealed against shrinking is accessed directly. Any other file may be truncated by a process that has its
/// descriptor, devices included, so its accesses are guarded. After a truncation, a DMA message for missing
/// bytes is refused with `EFAULT`, a load returns all ones, a store is dropped, and ``isTruncated`` is true.
@safe
public final class SharedMemory: @unchecked Sendable {
  /// Bytes.
  public let size: UInt64
  /// The permissions that a device may get: from the descriptor's access mode and the file's seals.
  public let permissions: DMAMapFlags
  package let descriptor: OwnedDescriptor
  /// Start of the memory in its file, in bytes.
  let fileOffset: UInt64
  // Sound: `size` bytes are mapped there for the life of this object, by this object or, as promised, by the
  // caller; every access is checked against `size` first. Either the file is sealed against shrinking, or the
  // access is guarded.
  let address: UnsafeMutableRawPointer?
  /// Whether the file may be truncated, so that each access has to be guarded.
  let isGuarded: Bool
  private let isMappedByUs: Bool
  let truncation = Atomic<Bool>(false)

  /// Allocates zeroed memory in a memfd that is sealed against shrinking.
  ///
  /// - Parameter size: in bytes, not zero; devices can map whole pages only.
  public init(size: UInt64) throws(SystemCallError) {
    let file = unsafe clinux_memory_file("vfio-user-client", size)
    descriptor = OwnedDescriptor(adopting: try checked("memfd_create", file))
    unsafe address = try Self.map(descriptor, 0, size, [.readable, .writable])
    self.size = size
    permissions = [.readable, .writable]
    fileOffset = 0
    isGuarded = false
    isMappedByUs = true
  }

  /// Takes ownership of a checked part of a file.
  init(
    _ file: LentFile, _ descriptor: consuming OwnedDescriptor,
    _ address: UnsafeMutableRawPointer?, isMappedByUs: Bool
  ) {
    size = file.size
    permissions = file.permissions
    fileOffset = file.offset
    self.descriptor = descriptor
    unsafe self.address = address
    self.isMappedByUs = isMappedByUs
    isGuarded = !file.isSealed
    if isGuarded, unsafe address != nil { clinux_guard_install() }
  }

  deinit {
    if isMappedByUs, let address = unsafe address { _ = unsafe clinux_unmap(address, size) }
  }

  /// Maps a part of a file.
  static func map(
    _ descriptor: borrowing OwnedDescriptor, _ offset: UInt64, _ size: UInt64,
    _ permissions: DMAMapFlags
  ) throws(SystemCallError) -> UnsafeMutableRawPointer {
    var mapped: UnsafeMutableRawPointer?
    let writable: Int32 = permissions.contains(.writable) ? 1 : 0
    _ = try checked(
      "mmap", unsafe clinux_map(descriptor.number, offset, size, 1, writable, &mapped))
    guard let mapped = unsafe mapped else {
      throw SystemCallError(call: "mmap", code: .noMemory)
    }
    return unsafe mapped
  }

  /// The address of the first byte in this process, nil if the memory is not mapped here.
  ///
  /// For a memory slot of KVM (`KVM_SET_USER_MEMORY_REGION`) or a system call. It is valid for the life of
  /// this object. The bytes may change at any time. If the file is not sealed against shrinking, an access
  /// after a truncation raises SIGBUS.
  @unsafe
  public var baseAddress: UnsafeMutableRawPointer? { unsafe address }

  /// Whether an access has found the file truncated.
  ///
  /// Always false for a file that is sealed against shrinking.
  public var isTruncated: Bool { truncation.load(ordering: .acquiring) }

  func noteTruncation() { truncation.store(true, ordering: .releasing) }

  /// The address of a range.
  ///
  /// - Precondition: the range lies in the memory, and the memory is mapped.
  @unsafe
  @inline(__always)
  func pointer(_ offset: UInt64, _ count: Int) -> UnsafeMutableRawPointer {
    precondition(
      offset <= size && count >= 0 && UInt64(count) <= size - offset,
      "\(count) bytes at \(offset) are not inside of \(size)")
    guard let address = unsafe address else {
      preconditionFailure("this memory is lent by its descriptor and has no address; adopt it")
    }
    return unsafe address + Int(offset)
  }
}
