internal import CLinux
internal import SystemPackage

/// A mapped part of a peer's file, unmapped with the last reference.
///
/// The peer writes to it at any time and may truncate the file, so it is never exposed as a Swift
/// reference or span: each access is a leaf function in C, where SIGBUS becomes an error.
@safe
package final class MappedMemory: @unchecked Sendable {
  // Sound: `mapped` is unmapped in deinit only. Each access below is checked against `size`.
  // Concurrent writes by other processes do not concern Swift's memory model, because only C code
  // touches the bytes.
  private let mapped: UnsafeMutableRawPointer
  /// The smallest page of the x86-64 processors that we run on, in bytes.
  private static let pageSize: UInt64 = 4096

  /// Size of the mapping in bytes of address space.
  package let mappedSize: UInt64
  private let start: UnsafeMutableRawPointer
  package let size: UInt64

  /// Maps a part of a file; the descriptor is not needed afterwards.
  ///
  /// - Parameters:
  ///   - offset: offset in the file; page-aligned.
  ///   - size: in bytes, a multiple of the page size.
  ///   - guarded: whether to install the handler that turns SIGBUS into an error.
  ///   - files: the kinds of files accepted.
  package init(
    _ descriptor: borrowing OwnedDescriptor, at offset: UInt64, size: UInt64, readable: Bool,
    writable: Bool, guarded: Bool = true, files: MemoryFiles = .memory
  ) throws(MappingError) {
    // Check this first: any other call on the file goes to its file system, which may never answer.
    guard files == .any || clinux_is_memory_file(descriptor.number) == 1 else {
      throw .notMemory
    }
    var granularity: Int64 = 0
    let fileSize = try Self.checked(
      "fstat", unsafe clinux_measure(descriptor.number, &granularity))
    let (end, wraps) = offset.addingReportingOverflow(size)
    guard !wraps, end <= fileSize else {
      throw .outsideOfFile(offset: offset, size: size, file: fileSize)
    }
    let page = Self.pageSize
    guard size > 0, (offset | size) % page == 0 else {
      throw .misaligned(offset: offset, size: size, page: page)
    }
    // A hugetlbfs file is mapped and unmapped in whole huge pages.
    let unit = UInt64(granularity)
    let lead = offset % unit
    let (rounded, tooLarge) = (lead + size).addingReportingOverflow(unit - 1)
    guard !tooLarge else { throw .outsideOfFile(offset: offset, size: size, file: fileSize) }
    if guarded { clinux_guard_install() }
    var address: UnsafeMutableRawPointer?
    _ = try Self.checked(
      "mmap",
      Int64(
        unsafe clinux_map(
          descriptor.number, offset - lead, rounded / unit * unit, readable ? 1 : 0,
          writable ? 1 : 0, &address)))
    guard let address = unsafe address else {
      throw .system(SystemCallError(call: "mmap", code: .noMemory))
    }
    unsafe mapped = address
    mappedSize = rounded / unit * unit
    unsafe start = address + Int(lead)
    self.size = size
  }

  deinit { _ = unsafe clinux_unmap(mapped, mappedSize) }

  private static func checked(
    _ call: String, _ result: Int64
  ) throws(MappingError) -> UInt64 {
    guard result < 0 else { return UInt64(result) }
    throw .system(
      SystemCallError(call: call, code: Errno(rawValue: CInt(truncatingIfNeeded: -result))))
  }

  /// Asks the kernel for huge pages where it has some; elsewhere the usual ones do.
  package func adviseHugePages() { _ = unsafe clinux_advise_huge_pages(mapped, mappedSize) }

  /// The address of a range, for a system call or a C function.
  ///
  /// - Precondition: the range is inside the mapping.
  @unsafe
  package func pointer(_ offset: UInt64, _ count: UInt64) -> UnsafeMutableRawPointer {
    precondition(offset <= size && count <= size - offset, "outside of a window")
    return unsafe start + Int(offset)
  }

  /// Copies bytes out of the mapping.
  ///
  /// - Returns: false if the file has been truncated.
  package func read(_ offset: UInt64, into bytes: UnsafeMutableRawBufferPointer) -> Bool {
    guard let to = bytes.baseAddress else { return true }
    return unsafe clinux_guarded_copy(to, pointer(offset, UInt64(bytes.count)), bytes.count) == 0
  }

  /// Copies bytes into the mapping.
  ///
  /// - Returns: false if the file has been truncated.
  package func write(_ offset: UInt64, from bytes: UnsafeRawBufferPointer) -> Bool {
    guard let from = bytes.baseAddress else { return true }
    return unsafe clinux_guarded_copy(pointer(offset, UInt64(bytes.count)), from, bytes.count) == 0
  }

  /// A single load of 1, 2, 4 or 8 bytes; nil if the file has been truncated.
  package func load(_ offset: UInt64, size: Int) -> UInt64? {
    unsafe SharedNumber.load(pointer(offset, UInt64(size)), size: size)
  }

  /// A single store of 1, 2, 4 or 8 bytes.
  ///
  /// - Returns: false if the file has been truncated.
  package func store(_ value: UInt64, _ offset: UInt64, size: Int) -> Bool {
    unsafe SharedNumber.store(value, pointer(offset, UInt64(size)), size: size)
  }

  /// An atomic access; nil if the file has been truncated.
  ///
  /// - Precondition: the offset is naturally aligned.
  package func perform(_ operation: SharedNumber.Operation, _ offset: UInt64, size: Int) -> UInt64?
  {
    unsafe SharedNumber.perform(operation, pointer(offset, UInt64(size)), size: size)
  }
}

/// Why a peer's file cannot be mapped.
package enum MappingError: Error, Equatable, Sendable {
  /// The file is on a file system, and only memory files are accepted.
  case notMemory
  /// The range is not inside the file.
  case outsideOfFile(offset: UInt64, size: UInt64, file: UInt64)
  /// The range is empty or not page-aligned at both ends.
  case misaligned(offset: UInt64, size: UInt64, page: UInt64)
  /// The file cannot be mapped, or the kernel refuses.
  case system(SystemCallError)
}

extension MappingError: CustomStringConvertible {
  /// What is wrong, with the numbers.
  package var description: String {
    switch self {
    case .notMemory: "the file is not a memory file (memfd, or a file on tmpfs or hugetlbfs)"
    case .outsideOfFile(let offset, let size, let file):
      "\(size) bytes at \(offset) are not inside of a file of \(file) bytes"
    case .misaligned(let offset, let size, let page):
      "\(size) bytes at \(offset) are not whole pages of \(page) bytes"
    case .system(let failure): failure.description
    }
  }
}
