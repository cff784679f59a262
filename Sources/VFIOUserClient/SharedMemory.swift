internal import CLinux
internal import SystemPackage
public import VFIOUserTransport

/// Memory that a client shares with devices: an anonymous file, mapped here and mappable there.
///
/// Devices write to it at any time, so it is only ever copied from and to. It is sealed against
/// shrinking: no device can pull it away from under this process.
@safe
public final class SharedMemory: @unchecked Sendable {
  /// Bytes.
  public let size: UInt64
  package let descriptor: OwnedDescriptor
  // Sound: mapped with `size` bytes for the life of this object; every access below is compared with
  // it first, and the seal keeps the file as large.
  let address: UnsafeMutableRawPointer

  /// Allocates memory, all zeros.
  ///
  /// - Parameter size: bytes, not zero; a multiple of the page size to be mappable in whole.
  public init(size: UInt64) throws(SystemCallError) {
    let file = unsafe clinux_memory_file("vfio-user-client", size)
    descriptor = OwnedDescriptor(adopting: try checked("memfd_create", file))
    var mapped: UnsafeMutableRawPointer?
    _ = try checked("mmap", unsafe clinux_map(file, 0, size, 1, 1, &mapped))
    guard let mapped = unsafe mapped else {
      throw SystemCallError(call: "mmap", code: .noMemory)
    }
    unsafe address = mapped
    self.size = size
  }

  deinit { _ = unsafe clinux_unmap(address, size) }

  /// A copy of `count` bytes.
  ///
  /// - Precondition: the range lies inside.
  public func read(at offset: UInt64, count: Int) -> [UInt8] {
    checkRange(offset, count)
    return unsafe Array(UnsafeRawBufferPointer(start: address + Int(offset), count: count))
  }

  /// Copies bytes in.
  ///
  /// - Precondition: the range lies inside.
  public func write(_ bytes: [UInt8], at offset: UInt64) {
    checkRange(offset, bytes.count)
    unsafe bytes.withUnsafeBytes {
      unsafe UnsafeMutableRawBufferPointer(start: address + Int(offset), count: bytes.count)
        .copyMemory(from: $0)
    }
  }

  /// Copies bytes out into a span.
  ///
  /// - Precondition: the range lies inside.
  public func read(at offset: UInt64, into bytes: inout MutableRawSpan) {
    checkRange(offset, bytes.byteCount)
    let source = unsafe UnsafeRawBufferPointer(
      start: address + Int(offset), count: bytes.byteCount)
    unsafe bytes.withUnsafeMutableBytes { unsafe $0.copyMemory(from: source) }
  }

  /// Copies bytes of a span in.
  ///
  /// - Precondition: the range lies inside.
  public func write(_ bytes: Span<UInt8>, at offset: UInt64) {
    checkRange(offset, bytes.count)
    let target = unsafe UnsafeMutableRawBufferPointer(
      start: address + Int(offset), count: bytes.count)
    unsafe bytes.withUnsafeBytes { unsafe target.copyMemory(from: $0) }
  }

  func checkRange(_ offset: UInt64, _ count: Int) {
    precondition(
      offset <= size && count >= 0 && UInt64(count) <= size - offset,
      "\(count) bytes at \(offset) are not inside of \(size)")
  }
}
