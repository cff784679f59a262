internal import CLinux
internal import SystemPackage
internal import VFIOUserTransport

/// Bytes of a state, in a memory file: what a peer sends, or a device has, need not fit into the process's own
/// memory twice, and running out of memory is an error and no trap.
///
/// Belongs to one thread at a time.
final class StateFile {
  let descriptor: OwnedDescriptor
  private(set) var size: UInt64 = 0
  /// Most bytes.
  let limit: UInt64

  /// Makes an empty file.
  init(limit: UInt64) throws(SystemCallError) {
    self.limit = limit
    descriptor = OwnedDescriptor(
      adopting: try checked(
        "memfd_create", unsafe clinux_sealable_memory_file("vfio-user-state", 0, 0)))
  }

  /// Takes over a file that is complete.
  init(adopting descriptor: consuming OwnedDescriptor) throws(SystemCallError) {
    let size = clinux_mappable_size(descriptor.number)
    guard size >= 0 else {
      throw SystemCallError(call: "fstat", code: Errno(rawValue: CInt(-size)))
    }
    self.descriptor = descriptor
    self.size = UInt64(size)
    limit = UInt64(size)
  }

  /// Adds bytes at the end.
  ///
  /// - Throws: `EFBIG` beyond the limit; `ENOSPC` or `ENOMEM` when there is no memory.
  func append(_ bytes: Span<UInt8>) throws(Errno) {
    guard UInt64(bytes.count) <= limit - size else { throw .fileTooLarge }
    try write(bytes, at: size)
    size += UInt64(bytes.count)
  }

  /// Forgets bytes at the end.
  ///
  /// - Precondition: there are not fewer.
  func cut(to size: UInt64) {
    precondition(size <= self.size, "a file is cut to what it does not have")
    self.size = size
  }

  /// Replaces bytes that are there.
  ///
  /// - Precondition: they end at ``size`` at the latest.
  func replace(at offset: UInt64, with bytes: Span<UInt8>) throws(Errno) {
    precondition(offset + UInt64(bytes.count) <= size, "bytes outside of the file")
    try write(bytes, at: offset)
  }

  private func write(_ bytes: Span<UInt8>, at offset: UInt64) throws(Errno) {
    var done = 0
    while done < bytes.count {
      // Sound: the count is that of the rest.
      let result = unsafe bytes.extracting(done...).withUnsafeBytes { rest in
        unsafe clinux_write_at(
          descriptor.number, rest.baseAddress, rest.count, offset + UInt64(done))
      }
      guard result > 0 else { throw result == 0 ? .ioError : Errno(rawValue: CInt(-result)) }
      done += Int(result)
    }
  }

  /// Copies bytes out until `bytes` is full.
  ///
  /// - Throws: `EINVAL` when the range is not inside.
  func read(at offset: UInt64, into bytes: inout MutableRawSpan) throws(Errno) {
    guard offset <= size, UInt64(bytes.byteCount) <= size - offset else { throw .invalidArgument }
    var done = 0
    while done < bytes.byteCount {
      // Sound: the count is that of the rest.
      let result = unsafe bytes.withUnsafeMutableBytes { all in
        let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: all[done...])
        return unsafe clinux_read_at(
          descriptor.number, rest.baseAddress, rest.count, offset + UInt64(done))
      }
      guard result > 0 else { throw result == 0 ? .ioError : Errno(rawValue: CInt(-result)) }
      done += Int(result)
    }
  }

  /// A copy of some bytes.
  ///
  /// - Precondition: the caller wants to hold that much.
  func bytes(at offset: UInt64, count: Int) throws(Errno) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    var span = bytes.mutableSpan
    var raw = unsafe span.mutableBytes
    try read(at: offset, into: &raw)
    return bytes
  }
}
