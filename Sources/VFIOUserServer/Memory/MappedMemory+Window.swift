internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

extension MappedMemory {
  /// Maps what a client's request says; the descriptor is closed, the mapping does not need it.
  ///
  /// - Throws: `EINVAL` for what is not inside of the file or does not start and end on a page;
  ///   `ENODEV` for what cannot be mapped; what `mmap` says.
  convenience init(
    _ descriptor: consuming OwnedDescriptor, _ request: DMAMap, guarded: Bool
  ) throws(Errno) {
    guard request.address % Limits.defaultPageSizes == 0 else { throw .invalidArgument }
    do throws(MappingFailure) {
      try self.init(
        descriptor, at: request.offset, size: request.size,
        readable: request.flags.contains(.readable), writable: request.flags.contains(.writable),
        guarded: guarded)
    } catch {
      switch error {
      case .system(let failure): throw failure.code
      case .outsideOfFile, .misaligned: throw .invalidArgument
      }
    }
  }
}
