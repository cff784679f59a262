internal import LinuxPrimitives
internal import SystemPackage

extension MappedMemory {
  /// Maps what a client's request says; the descriptor is closed, the mapping does not need it.
  ///
  /// - Throws: `ENOTSUP` for a file that is no memory and may not be mapped; `EINVAL` for what is not inside
  ///   of the file or does not start and end on a page; `ENODEV` for what cannot be mapped; what `mmap` says.
  convenience init(
    _ descriptor: consuming OwnedDescriptor, _ request: DMAMap, guarded: Bool, files: MemoryFiles
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
