internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

/// The memory that is registered with a device, and the answers to its DMA_READ and DMA_WRITE.
///
/// Kept across reconnections: what is registered here is what a new connection restores.
final class MemoryService: Sendable {
  final class Window: AddressWindow {
    let address: UInt64
    let size: UInt64
    let memory: SharedMemory
    let offset: UInt64
    let flags: DMAMapFlags
    /// Whether the device gets a descriptor.
    let isShared: Bool

    /// Describes a window that is not empty and does not pass the last address.
    init(
      address: UInt64, size: UInt64, memory: SharedMemory, offset: UInt64, flags: DMAMapFlags,
      isShared: Bool
    ) {
      self.address = address
      self.size = size
      self.memory = memory
      self.offset = offset
      self.flags = flags
      self.isShared = isShared
    }

    var last: UInt64 { address + (size - 1) }
  }

  /// A part of an access that lies in one window.
  struct Piece {
    let memory: SharedMemory
    let offset: UInt64
    let count: Int
  }

  /// The parts of an access, in order; the first is kept apart, since one is the rule and needs no
  /// allocation then.
  struct Pieces {
    private var first: Piece?
    private var others: [Piece] = []

    var count: Int { first == nil ? 0 : 1 + others.count }

    subscript(index: Int) -> Piece {
      if index == 0, let first { return first }
      return others[index - 1]
    }

    mutating func append(_ piece: Piece) {
      if first == nil { first = piece } else { others.append(piece) }
    }
  }

  /// Most bytes of one request.
  let largestTransfer: UInt32
  private let windows = Monitor(WindowTable<Window>())

  init(largestTransfer: UInt32) {
    self.largestTransfer = largestTransfer
  }

  /// All windows, ordered by address.
  var all: [Window] { windows.withLock { $0.all } }

  /// How many windows there are.
  var count: Int { windows.withLock { $0.count } }

  /// Adds a window.
  ///
  /// - Returns: false when it overlaps with another.
  func add(_ window: Window) -> Bool { windows.withLock { $0.insert(window) } }

  /// Removes the window that matches exactly.
  @discardableResult
  func remove(address: UInt64, size: UInt64) -> Bool {
    let (last, wraps) = address.addingReportingOverflow(size &- 1)
    guard size > 0, !wraps else { return false }
    return windows.withLock { windows in
      guard let window = windows.window(address, through: last) else { return false }
      windows.remove(window)
      return true
    }
  }

  /// Removes all windows.
  func removeAll() { windows.withLock { $0.removeAll() } }

  /// Splits an access at the borders of windows.
  ///
  /// - Throws: `EFAULT` where no window is, `EACCES` where one does not permit it, `EINVAL` when the
  ///   address wraps.
  func pieces(of access: DMAAccess, for permission: DMAMapFlags) throws(Errno) -> Pieces {
    guard access.count > 0 else { return Pieces() }
    guard !access.address.addingReportingOverflow(access.count - 1).overflow else {
      throw .invalidArgument
    }
    return try windows.withLock { windows throws(Errno) in
      var pieces = Pieces()
      var address = access.address
      var left = access.count
      while left > 0 {
        guard let window = windows.window(holding: address) else { throw .badAddress }
        guard window.flags.contains(permission) else { throw .permissionDenied }
        let count = min(left, window.last - address + 1)
        pieces.append(
          Piece(
            memory: window.memory, offset: window.offset + (address - window.address),
            count: Int(count)))
        left -= count
        address &+= count
      }
      return pieces
    }
  }

  /// Copies memory out, piece after piece.
  func copyOut(_ pieces: Pieces, to bytes: inout MutableRawSpan) {
    var place = 0
    for number in 0..<pieces.count {
      let piece = pieces[number]
      var part = bytes._mutatingExtracting(place..<place + piece.count)
      piece.memory.read(at: piece.offset, into: &part)
      place += piece.count
    }
  }

  /// Copies into memory, piece after piece.
  func copyIn(_ pieces: Pieces, from bytes: Span<UInt8>) {
    var place = 0
    for number in 0..<pieces.count {
      let piece = pieces[number]
      piece.memory.write(bytes.extracting(place..<place + piece.count), at: piece.offset)
      place += piece.count
    }
  }
}
