internal import LinuxPrimitives
internal import SystemPackage

extension MappedMemory {
  /// Maps the range of a DMA_MAP.
  ///
  /// - Throws: `ENOTSUP` for a kind of file that may not be mapped; `EINVAL` for a range that is not in the
  ///   file or not page-aligned; `ENODEV` for a file that cannot be mapped; the error of `mmap`.
  convenience init(
    _ descriptor: borrowing OwnedDescriptor, _ request: DMAMap, guarded: Bool, files: MemoryFiles
  ) throws(Errno) {
    guard request.address % Limits.defaultPageSizes == 0 else { throw .invalidArgument }
    do throws(MappingError) {
      try self.init(
        descriptor, at: request.offset, size: request.size,
        readable: request.flags.contains(.readable), writable: request.flags.contains(.writable),
        guarded: guarded, files: files)
    } catch {
      switch error {
      case .system(let failure): throw failure.code
      case .notMemory: throw .notSupported
      case .outsideOfFile, .misaligned: throw .invalidArgument
      }
    }
  }
}
