internal import LinuxPrimitives
internal import CLinux
internal import Synchronization
internal import SystemPackage

/// Memory that a client shares with devices: a file, or a part of one, that both may map.
///
/// | made with | in this process | bytes of DMA messages come from |
/// |---|---|---|
/// | ``init(size:)`` | mapped by the initialiser | the mapping |
/// | ``init(adopting:offset:size:)`` | mapped by the initialiser | the mapping |
/// | ``init(adopting:offset:size:mappedAt:)`` | mapped by the caller | the caller's mapping |
/// | ``init(lending:offset:size:)`` | not mapped | `pread` and `pwrite` |
///
/// Devices write to it at any time, so it is only ever copied from and to. A file that is sealed against
/// shrinking is accessed directly. Any other may be truncated by whoever has its descriptor, devices
/// included: its accesses are guarded. A DMA message for bytes that are gone is refused with `EFAULT`; of
/// the methods here a load gives all ones, a store is dropped, and ``isTruncated`` is true from then on.
@safe
public final class SharedMemory: @unchecked Sendable {
  /// Bytes.
  public let size: UInt64
  /// What a device may be allowed to do, by the descriptor's access mode and the seals of its file.
  public let permissions: DMAMapFlags
  package let descriptor: OwnedDescriptor
  /// Where the memory begins in its file.
  let fileOffset: UInt64
  // Sound: `size` bytes are mapped there for the life of this object, by us or as the caller has promised;
  // every access is compared with `size` first. Either the seal keeps the file as large, or the access is
  // guarded.
  let address: UnsafeMutableRawPointer?
  /// Whether the file may become too short, so that each access has to be guarded.
  let isGuarded: Bool
  private let isMappedByUs: Bool
  let truncation = Atomic<Bool>(false)

  /// Allocates memory, all zeros, sealed against shrinking.
  ///
  /// - Parameter size: bytes, not zero; a multiple of the page size to be mappable in whole.
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

  /// Takes a checked part of a file over.
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

  /// The first byte in this process, nil for memory that is lent by its descriptor alone.
  ///
  /// For what takes addresses, like a memory slot of KVM (`KVM_SET_USER_MEMORY_REGION`) or a system call.
  /// It stays good until this object is gone. The bytes change at any time, and of a file that is not
  /// sealed against shrinking they may go, which is a SIGBUS for whoever touches them.
  @unsafe
  public var baseAddress: UnsafeMutableRawPointer? { unsafe address }

  /// Whether an access has found that the file has become too short.
  ///
  /// Always false for a file that is sealed against shrinking.
  public var isTruncated: Bool { truncation.load(ordering: .acquiring) }

  func noteTruncation() { truncation.store(true, ordering: .releasing) }

  /// The address of a range.
  ///
  /// - Precondition: the range lies inside, and the memory is mapped.
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
