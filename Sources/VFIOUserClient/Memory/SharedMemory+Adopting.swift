internal import LinuxPrimitives
internal import CLinux
internal import SystemPackage

/// Memory that somebody else allocated: guest RAM of a VMM, as memfd, on hugetlbfs, or in any other file.
extension SharedMemory {
  /// Takes over a part of a file and maps it here.
  ///
  /// Mapped read-only if the descriptor or the seals permit no more.
  ///
  /// - Parameters:
  ///   - descriptor: of a memfd or a regular file, open for reading at least. Duplicate it to keep one.
  ///   - offset: where the memory begins in the file; a multiple of its page size, which is the huge page's on
  ///     hugetlbfs.
  ///   - size: bytes, a multiple of that page size, not zero.
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

  /// Takes over a part of a file that is mapped here already.
  ///
  /// - Parameters:
  ///   - descriptor: as in ``init(adopting:offset:size:)``.
  ///   - address: where the caller has mapped the part, shared, readable, and writable if the descriptor is.
  ///     The mapping has to outlive this object, which does not unmap it.
  @unsafe
  public convenience init(
    adopting descriptor: consuming OwnedDescriptor, offset: UInt64 = 0, size: UInt64,
    mappedAt address: UnsafeMutableRawPointer
  ) throws(SharedMemoryError) {
    let file = try LentFile(descriptor, offset: offset, size: size)
    unsafe self.init(file, descriptor, address, isMappedByUs: false)
  }

  /// Takes over a part of a file that only the device touches.
  ///
  /// It is not mapped here, and methods that access it end the process. A device that asks for it by message
  /// gets it through the descriptor: with `pread` and `pwrite`, whose error it is told. On hugetlbfs, `write`
  /// is not possible, so that a DMA_WRITE gets `EINVAL` there: adopt such memory for devices that send any.
  ///
  /// - Parameters: as in ``init(adopting:offset:size:)``.
  public convenience init(
    lending descriptor: consuming OwnedDescriptor, offset: UInt64 = 0, size: UInt64
  ) throws(SharedMemoryError) {
    let file = try LentFile(descriptor, offset: offset, size: size)
    unsafe self.init(file, descriptor, nil, isMappedByUs: false)
  }
}

/// A part of a file, after the checks that let it be lent.
struct LentFile {
  let offset: UInt64
  let size: UInt64
  let permissions: DMAMapFlags
  /// Whether nobody can make the file shorter.
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
