internal import CLinux
internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

/// The windows of client memory that the device may reach, ordered by address.
final class DMAWindows: Sendable {
  struct Window: Sendable {
    let address: UInt64
    /// Not zero; `address + size` does not pass 2^64.
    let size: UInt64
    let flags: DMAMapFlags
    /// Nil when the client sent no descriptor: reached by messages only.
    let mapping: MappedMemory?

    var last: UInt64 { address + (size - 1) }
  }

  private let state = Monitor<[Window]>([])

  /// How many windows there are.
  var count: Int { state.withLock { $0.count } }

  /// Adds a window (`VFIO_USER_DMA_MAP`).
  ///
  /// - Throws: `EINVAL` for an empty window, one that wraps, one without a permission, or one that is
  ///   larger than its file; `EEXIST` for an overlap; `ENOSPC` when there are too many; what `mmap`
  ///   says.
  func add(
    _ request: DMAMap, _ descriptor: consuming OwnedDescriptor?, limit: Int
  ) throws(Errno) {
    guard request.size > 0, !request.flags.isEmpty,
      !request.address.addingReportingOverflow(request.size - 1).overflow
    else { throw .invalidArgument }
    // A closure cannot consume what it captures; it can take from an optional.
    var descriptor = descriptor
    try state.withLock { windows throws(Errno) in
      guard windows.count < limit else { throw .noSpace }
      let place = windows.insertionPoint(for: request.address)
      let last = request.address + (request.size - 1)
      guard place == 0 || windows[place - 1].last < request.address,
        place == windows.count || windows[place].address > last
      else { throw .fileExists }
      let mapping: MappedMemory? =
        if let lent = descriptor.take() { try MappedMemory(lent, request) } else { nil }
      windows.insert(
        Window(
          address: request.address, size: request.size, flags: request.flags, mapping: mapping),
        at: place)
    }
  }

  /// Removes the window that matches exactly.
  ///
  /// - Throws: `ENOENT` when none does.
  func remove(address: UInt64, size: UInt64) throws(Errno) {
    try state.withLock { windows throws(Errno) in
      let place = windows.insertionPoint(for: address)
      guard place < windows.count, windows[place].address == address, windows[place].size == size
      else { throw .noSuchFileOrDirectory }
      windows.remove(at: place)
    }
  }

  /// Removes all windows.
  func removeAll() {
    state.withLock { $0.removeAll() }
  }
}

extension [DMAWindows.Window] {
  /// The first window that does not lie before `address`.
  fileprivate func insertionPoint(for address: UInt64) -> Int {
    var low = 0
    var high = count
    while low < high {
      let middle = low + (high - low) / 2
      if self[middle].address < address { low = middle + 1 } else { high = middle }
    }
    return low
  }
}

/// Client memory in our address space, unmapped with the last reference.
@safe
final class MappedMemory: @unchecked Sendable {
  // Sound: the mapping lives as long as this object, and nobody gets the address.
  private let address: UnsafeMutableRawPointer
  private let size: UInt64

  /// Maps what the request says; the descriptor is closed, the mapping does not need it.
  init(_ descriptor: consuming OwnedDescriptor, _ request: DMAMap) throws(Errno) {
    let fileSize = clinux_mappable_size(descriptor.number)
    guard fileSize >= 0 else { throw Errno(rawValue: CInt(truncatingIfNeeded: -fileSize)) }
    let (end, wraps) = request.offset.addingReportingOverflow(request.size)
    guard !wraps, end <= UInt64(fileSize) else { throw .invalidArgument }
    var mapped: UnsafeMutableRawPointer?
    let result = unsafe clinux_map(
      descriptor.number, request.offset, request.size,
      request.flags.contains(.readable) ? 1 : 0, request.flags.contains(.writable) ? 1 : 0, &mapped)
    guard result == 0, let mapped = unsafe mapped else { throw Errno(rawValue: -result) }
    unsafe address = mapped
    size = request.size
  }

  deinit { _ = unsafe clinux_unmap(address, size) }
}
