internal import LinuxPrimitives
internal import CLinux
internal import SystemPackage

/// Memory that was allocated elsewhere: guest RAM of a VMM in a memfd, on hugetlbfs, or in another file.
extension SharedMemory {
  /// Adopts a part of a file, and maps it in this process.
  ///
  /// Mapped read-only if the descriptor or the seals do not permit writing.
  ///
  /// - Parameters:
  ///   - descriptor: of a memfd or a regular file, open for reading. Duplicate it to keep one.
  ///   - offset: start of the memory in the file, in bytes; a multiple of the file's page size (the huge page
  ///     size on hugetlbfs).
  ///   - size: in bytes; a multiple of that page size, not zero.
  public convenience init(
    adopting descriptor: consuming OwnedDescriptor, offset: UInt64 = 0, size: UInt64
  ) throws(SharedMemoryError) {
    let file = try LentFile(descriptor, offset: offset, size: size)
    let address: UnsafeMutableRawPointer
    do throws(SystemCallError) {
      unsafe address = try Self.map(descriptor, offset, size, file.permissions)
    } catch {
      throw SharedMemoryError(error)
    }
    unsafe self.init(file, descriptor, address, isMappedByUs: true)
  }

  /// Adopts a part of a file that the caller has mapped.
  ///
  /// - Parameters:
  ///   - descriptor: as in ``init(adopting:offset:size:)``.
  ///   - offset: where the part begins in the file, in bytes.
  ///   - size: its bytes.
  ///   - address: of the caller's mapping of the part: shared, readable, and writable if the descriptor is.
  ///     The mapping must outlive this object, which does not unmap it.
  @unsafe
  public convenience init(
    adopting descriptor: consuming OwnedDescriptor, offset: UInt64 = 0, size: UInt64,
    mappedAt address: UnsafeMutableRawPointer
  ) throws(SharedMemoryError) {
    let file = try LentFile(descriptor, offset: offset, size: size)
    unsafe self.init(file, descriptor, address, isMappedByUs: false)
  }

  /// Adopts a part of a file that this process does not map.
  ///
  /// Methods that access the bytes trap. DMA messages of the device are served with `pread` and `pwrite`,
  /// whose errors it gets. hugetlbfs does not support `write`, so a DMA_WRITE gets `EINVAL` there: use
  /// ``init(adopting:offset:size:)`` for devices that send any.
  ///
  /// - Parameters: as in ``init(adopting:offset:size:)``.
  public convenience init(
    lending descriptor: consuming OwnedDescriptor, offset: UInt64 = 0, size: UInt64
  ) throws(SharedMemoryError) {
    let file = try LentFile(descriptor, offset: offset, size: size)
    unsafe self.init(file, descriptor, nil, isMappedByUs: false)
  }
}

/// A checked part of a file.
struct LentFile {
  let offset: UInt64
  let size: UInt64
  let permissions: DMAMapFlags
  /// Whether the file is sealed against shrinking.
  let isSealed: Bool

  init(
    _ descriptor: borrowing OwnedDescriptor, offset: UInt64, size: UInt64
  ) throws(SharedMemoryError) {
    let bits = try Self.bits(descriptor)
    guard bits & CLINUX_FILE_READABLE != 0 else { throw .notReadable }
    var granularity: Int64 = 0
    let fileSize: Int64
    do throws(SystemCallError) {
      fileSize = try checked("fstat", unsafe clinux_measure(descriptor.number, &granularity))
    } catch {
      throw error.code == .operationNotSupportedByDevice ? .notAFile : SharedMemoryError(error)
    }
    let page = UInt64(granularity)
    guard size > 0 else { throw .empty }
    guard (offset | size) % page == 0 else { throw .misaligned(offset, size, page) }
    let (end, wraps) = offset.addingReportingOverflow(size)
    guard !wraps, end <= UInt64(fileSize) else {
      throw .outsideOfFile(offset, size, UInt64(fileSize))
    }
    self.offset = offset
    self.size = size
    isSealed = bits & CLINUX_FILE_SHRINK_SEALED != 0
    let isWritable =
      bits & (CLINUX_FILE_WRITABLE | CLINUX_FILE_WRITE_SEALED) == CLINUX_FILE_WRITABLE
    permissions = isWritable ? [.readable, .writable] : .readable
  }

  private static func bits(
    _ descriptor: borrowing OwnedDescriptor
  ) throws(SharedMemoryError) -> Int32 {
    do throws(SystemCallError) {
      return try checked("fcntl(F_GETFL)", clinux_file_permissions(descriptor.number))
    } catch {
      throw error.code == .badFileDescriptor ? .notReadable : SharedMemoryError(error)
    }
  }
}
