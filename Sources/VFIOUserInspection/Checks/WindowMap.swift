internal import VFIOUserProtocol

/// The DMA windows of a connection, as the messages tell.
struct WindowMap: Sendable {
  struct Window: Sendable {
    let address: UInt64
    /// Not zero, and the end does not wrap.
    let size: UInt64
    let flags: DMAMapFlags
    /// Whether a DMA_UNMAP for it is under way.
    var isLeaving = false

    /// The last address.
    var last: UInt64 { address + (size - 1) }
  }

  /// Sorted by address; those that leave may overlap others.
  private(set) var windows: [Window] = []
  /// Nothing is said about windows any more when there were too many to keep.
  private(set) var isUnknown = false
  private static let limit = 1 << 14

  /// Number of windows that stay.
  var count: Int { windows.count { !$0.isLeaving } }

  /// A window that overlaps a range and stays.
  func overlapping(_ address: UInt64, _ size: UInt64) -> Window? {
    let last = address + (size - 1)
    return windows.first { !$0.isLeaving && $0.address <= last && address <= $0.last }
  }

  mutating func add(_ address: UInt64, _ size: UInt64, _ flags: DMAMapFlags) {
    guard windows.count < Self.limit else {
      isUnknown = true
      return
    }
    let place = windows.firstIndex { $0.address > address } ?? windows.count
    windows.insert(Window(address: address, size: size, flags: flags), at: place)
  }

  /// The map has failed.
  mutating func remove(_ address: UInt64, _ size: UInt64) {
    if let index = windows.lastIndex(where: { $0.address == address && $0.size == size }) {
      windows.remove(at: index)
    }
  }

  /// An unmap begins.
  ///
  /// - Returns: whether it names a window exactly.
  mutating func leave(_ unmap: DMAUnmap) -> Bool {
    guard !unmap.flags.contains(.all) else {
      for index in windows.indices { windows[index].isLeaving = true }
      return true
    }
    let found = windows.firstIndex {
      $0.address == unmap.address && $0.size == unmap.size && !$0.isLeaving
    }
    guard let found else { return false }
    windows[found].isLeaving = true
    return true
  }

  /// An unmap has ended.
  mutating func left(_ unmap: DMAUnmap, succeeded: Bool) {
    for index in windows.indices.reversed() where windows[index].isLeaving {
      let window = windows[index]
      guard
        unmap.flags.contains(.all)
          || (window.address == unmap.address && window.size == unmap.size)
      else { continue }
      if succeeded { windows.remove(at: index) } else { windows[index].isLeaving = false }
      if !unmap.flags.contains(.all) { return }
    }
  }

  /// Whether windows with a permission cover a range without a gap.
  func covers(_ access: DMAAccess, _ permission: DMAMapFlags) -> Bool {
    guard access.count > 0, !isUnknown else { return true }
    let (end, wraps) = access.address.addingReportingOverflow(access.count - 1)
    guard !wraps else { return false }
    var next = access.address
    for window in windows where window.flags.contains(permission) && window.last >= next {
      guard window.address <= next else { return false }
      guard window.last < end else { return true }
      next = window.last + 1
    }
    return false
  }
}
