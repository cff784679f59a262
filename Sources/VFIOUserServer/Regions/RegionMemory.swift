internal import LinuxPrimitives
internal import CLinux
public import SystemPackage

/// The memory of a region: a file that clients may map.
///
/// Clients may change it at any time, so it can only be copied, or accessed with atomic loads and stores.
/// Every access is checked against the bounds, since an offset may come from a guest. Every method may be
/// called from any thread.
@safe
public final class RegionMemory: @unchecked Sendable {
  /// Bytes.
  public let size: UInt64
  let descriptor: OwnedDescriptor
  // Sound: `size` bytes are mapped for the life of this object, and every access below is checked against
  // `size` first. The file is sealed against shrinking, so no client can truncate it.
  private let address: UnsafeMutableRawPointer
  /// Clients have mapped the file: a new version of the program needs the very same one.
  private let kept: KeptDescriptor?

  /// Allocates zeroed memory; pages take memory when they are first used.
  ///
  /// - Parameter name: by which a new version of the program takes the memory over, with its contents.
  init(size: UInt64, name: String? = nil) throws(SystemCallError) {
    let page: UInt64 = 4096
    let (rounded, overflow) = size.addingReportingOverflow(page - 1)
    // mmap takes a signed size, and so does the file.
    guard !overflow, rounded <= UInt64(Int64.max) else {
      throw SystemCallError(call: "memfd_create", code: .fileTooLarge)
    }
    let mappedSize = rounded & ~(page - 1)
    descriptor = try Self.file(name, size: mappedSize)
    let number = descriptor.number
    kept = name.map { KeptDescriptor($0, number: number) }
    var mapped: UnsafeMutableRawPointer?
    _ = try checked("mmap", unsafe clinux_map(number, 0, mappedSize, 1, 1, &mapped))
    guard let mapped = unsafe mapped else {
      throw SystemCallError(call: "mmap", code: .noMemory)
    }
    unsafe address = mapped
    self.size = size
  }

  /// The file of the program before this one, if it has the same size, or a new one.
  private static func file(_ name: String?, size: UInt64) throws(SystemCallError) -> OwnedDescriptor
  {
    if let name, let file = KeptDescriptor.take(name),
      clinux_mappable_size(file.number) == Int64(size)
    {
      return file
    }
    let number = unsafe clinux_memory_file("vfio-user-region", size)
    return OwnedDescriptor(adopting: try checked("memfd_create", number))
  }

  deinit { _ = unsafe clinux_unmap(address, (size + 4095) & ~4095) }

  /// Copies bytes out.
  ///
  /// - Throws: `EINVAL` if the range does not lie in the memory.
  public func read(at offset: UInt64, into bytes: inout MutableRawSpan) throws(Errno) {
    let place = try place(offset, bytes.byteCount)
    unsafe bytes.withUnsafeMutableBytes { target in
      unsafe target.copyMemory(
        from: UnsafeRawBufferPointer(start: address + place, count: target.count))
    }
  }

  /// Copies bytes in.
  ///
  /// - Throws: `EINVAL` if the range does not lie in the memory.
  public func write(at offset: UInt64, from bytes: Span<UInt8>) throws(Errno) {
    let place = try place(offset, bytes.count)
    unsafe bytes.withUnsafeBytes { source in
      unsafe UnsafeMutableRawBufferPointer(start: address + place, count: source.count)
        .copyMemory(from: source)
    }
  }

  /// Returns a copy of `count` bytes.
  ///
  /// - Throws: `EINVAL` if the range does not lie in the memory.
  public func read(at offset: UInt64, count: Int) throws(Errno) -> [UInt8] {
    let place = try place(offset, count)
    return unsafe Array(UnsafeRawBufferPointer(start: address + place, count: count))
  }

  /// Fills everything with one byte.
  public func fill(_ byte: UInt8 = 0) {
    unsafe UnsafeMutableRawBufferPointer(start: address, count: Int(size))
      .initializeMemory(as: UInt8.self, repeating: byte)
  }

  /// The offset of `count` bytes, checked.
  private func place(_ offset: UInt64, _ count: Int) throws(Errno) -> Int {
    guard count >= 0, offset <= size, UInt64(count) <= size - offset else {
      throw .invalidArgument
    }
    return Int(offset)
  }

  /// The address of a number that is loaded or stored as a whole.
  ///
  /// Sound to load from and store to: bounds and alignment are checked, any bits are a number, and the
  /// mapping starts at a page.
  @unsafe
  func numberPlace(_ offset: UInt64, _ size: Int) throws(Errno) -> UnsafeMutableRawPointer {
    guard offset % UInt64(size) == 0 else { throw .invalidArgument }
    let place = try place(offset, size)
    return unsafe address + place
  }
}
