internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

/// The memory that is registered with a device, and the answers to its DMA_READ and DMA_WRITE.
///
/// Kept across reconnections: what is registered here is what a new connection restores.
final class MemoryService: Sendable {
  struct Window: Sendable {
    let address: UInt64
    let size: UInt64
    let memory: SharedMemory
    let offset: UInt64
    let flags: DMAMapFlags
    /// Whether the device gets a descriptor.
    let isShared: Bool

    var last: UInt64 { address + (size - 1) }
  }

  /// A part of an access that lies in one window.
  struct Piece {
    let memory: SharedMemory
    let offset: UInt64
    let count: Int
  }

  /// Most bytes of one request.
  let largestTransfer: UInt32
  private let windows = Monitor<[Window]>([])

  init(largestTransfer: UInt32) {
    self.largestTransfer = largestTransfer
  }

  /// All windows, ordered by address.
  var all: [Window] { windows.withLock { $0 } }

  /// Adds a window.
  ///
  /// - Returns: false when it overlaps with another.
  func add(_ window: Window) -> Bool {
    windows.withLock { windows in
      let place = windows.firstPlace(at: window.address)
      guard place == 0 || windows[place - 1].last < window.address,
        place == windows.count || windows[place].address > window.last
      else { return false }
      windows.insert(window, at: place)
      return true
    }
  }

  /// Removes the window that matches exactly.
  @discardableResult
  func remove(address: UInt64, size: UInt64) -> Bool {
    windows.withLock { windows in
      let place = windows.firstPlace(at: address)
      guard place < windows.count, windows[place].address == address, windows[place].size == size
      else { return false }
      windows.remove(at: place)
      return true
    }
  }

  /// Removes all windows.
  func removeAll() { windows.withLock { $0.removeAll() } }

  /// Splits an access at the borders of windows.
  ///
  /// - Throws: `EFAULT` where no window is, `EACCES` where one does not permit it, `EINVAL` when the
  ///   address wraps.
  func pieces(of access: DMAAccess, for permission: DMAMapFlags) throws(Errno) -> [Piece] {
    guard access.count > 0 else { return [] }
    guard !access.address.addingReportingOverflow(access.count - 1).overflow else {
      throw .invalidArgument
    }
    return try windows.withLock { windows throws(Errno) in
      var pieces: [Piece] = []
      var address = access.address
      var left = access.count
      var place = windows.firstPlace(at: address)
      if place == windows.count || windows[place].address > address { place -= 1 }
      while left > 0 {
        guard windows.indices.contains(place), windows[place].address <= address,
          windows[place].last >= address
        else { throw .badAddress }
        let window = windows[place]
        guard window.flags.contains(permission) else { throw .permissionDenied }
        let count = min(left, window.last - address + 1)
        pieces.append(
          Piece(
            memory: window.memory, offset: window.offset + (address - window.address),
            count: Int(count)))
        left -= count
        address &+= count
        place += 1
      }
      return pieces
    }
  }

  /// Copies memory out, piece after piece.
  func copyOut(_ pieces: [Piece], to bytes: inout MutableRawSpan) {
    var place = 0
    for piece in pieces {
      var part = bytes._mutatingExtracting(place..<place + piece.count)
      piece.memory.read(at: piece.offset, into: &part)
      place += piece.count
    }
  }

  /// Copies into memory, piece after piece.
  func copyIn(_ pieces: [Piece], from bytes: Span<UInt8>) {
    var place = 0
    for piece in pieces {
      piece.memory.write(bytes.extracting(place..<place + piece.count), at: piece.offset)
      place += piece.count
    }
  }
}

extension [MemoryService.Window] {
  /// The first window that does not begin before `address`.
  fileprivate func firstPlace(at address: UInt64) -> Int {
    var low = 0
    var high = count
    while low < high {
      let middle = low + (high - low) / 2
      if self[middle].address < address { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
