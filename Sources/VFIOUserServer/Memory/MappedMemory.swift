internal import CLinux
internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

/// Client memory in our address space, unmapped with the last reference.
///
/// The client writes to it at any time and may truncate the file behind it, so it is never a Swift
/// reference or span: each access is a leaf function of the shim, which turns SIGBUS into an error.
@safe
final class MappedMemory: @unchecked Sendable {
  // Sound: `mapped` is unmapped in deinit only. Each access below is compared with `size`, and what
  // other processes do to the bytes at the same time is no business of the language's memory model,
  // because only the shim touches them.
  private let mapped: UnsafeMutableRawPointer
  private let mappedSize: UInt64
  private let start: UnsafeMutableRawPointer
  let size: UInt64

  /// Maps what the request says; the descriptor is closed, the mapping does not need it.
  ///
  /// - Throws: `EINVAL` for what is not inside of the file or does not start and end on a page;
  ///   `ENODEV` for what cannot be mapped; what `mmap` says.
  init(
    _ descriptor: consuming OwnedDescriptor, _ request: DMAMap, guarded: Bool
  ) throws(Errno) {
    let fileSize = try Self.checked(clinux_mappable_size(descriptor.number))
    let (end, wraps) = request.offset.addingReportingOverflow(request.size)
    let pages = Limits.defaultPageSizes
    guard !wraps, end <= UInt64(fileSize),
      (request.offset | request.size | request.address) % pages == 0
    else { throw .invalidArgument }
    // A file of huge pages is mapped and unmapped in whole ones.
    let unit = UInt64(try Self.checked(clinux_mapping_granularity(descriptor.number)))
    let lead = request.offset % unit
    let (rounded, tooLarge) = (lead + request.size).addingReportingOverflow(unit - 1)
    guard !tooLarge else { throw .invalidArgument }
    if guarded { clinux_guard_install() }
    var address: UnsafeMutableRawPointer?
    _ = try Self.checked(
      Int64(
        unsafe clinux_map(
          descriptor.number, request.offset - lead, rounded / unit * unit,
          request.flags.contains(.readable) ? 1 : 0, request.flags.contains(.writable) ? 1 : 0,
          &address)))
    guard let address = unsafe address else { throw .noMemory }
    unsafe mapped = address
    mappedSize = rounded / unit * unit
    unsafe start = address + Int(lead)
    size = request.size
  }

  deinit { _ = unsafe clinux_unmap(mapped, mappedSize) }

  private static func checked(_ result: Int64) throws(Errno) -> Int64 {
    guard result < 0 else { return result }
    throw Errno(rawValue: CInt(truncatingIfNeeded: -result))
  }

  /// The address of a range, for a system call or the shim.
  ///
  /// - Precondition: the range lies inside.
  @unsafe
  func pointer(_ offset: UInt64, _ count: UInt64) -> UnsafeMutableRawPointer {
    precondition(offset <= size && count <= size - offset, "outside of a window")
    return unsafe start + Int(offset)
  }

  /// Copies out.
  ///
  /// - Returns: false when the file has become too short.
  func read(_ offset: UInt64, into bytes: UnsafeMutableRawBufferPointer) -> Bool {
    guard let to = bytes.baseAddress else { return true }
    return unsafe clinux_guarded_copy(to, pointer(offset, UInt64(bytes.count)), bytes.count) == 0
  }

  /// Copies in.
  ///
  /// - Returns: false when the file has become too short.
  func write(_ offset: UInt64, from bytes: UnsafeRawBufferPointer) -> Bool {
    guard let from = bytes.baseAddress else { return true }
    return unsafe clinux_guarded_copy(pointer(offset, UInt64(bytes.count)), from, bytes.count) == 0
  }

  /// One load of 1, 2, 4 or 8 bytes; nil when the file has become too short.
  func load(_ offset: UInt64, size: Int) -> UInt64? {
    unsafe SharedNumber.load(pointer(offset, UInt64(size)), size: size)
  }

  /// One store of 1, 2, 4 or 8 bytes.
  ///
  /// - Returns: false when the file has become too short.
  func store(_ value: UInt64, _ offset: UInt64, size: Int) -> Bool {
    unsafe SharedNumber.store(value, pointer(offset, UInt64(size)), size: size)
  }

  /// An atomic access; nil when the file has become too short.
  ///
  /// - Precondition: naturally aligned.
  func perform(_ operation: SharedNumber.Operation, _ offset: UInt64, size: Int) -> UInt64? {
    unsafe SharedNumber.perform(operation, pointer(offset, UInt64(size)), size: size)
  }
}
