internal import LinuxPrimitives
internal import SystemPackage

/// The memory that is registered with a device; answers its DMA_READ and DMA_WRITE.
///
/// Kept across reconnections: a new connection restores what is registered here.
final class MemoryService: Sendable {
  final class DMAWindow: AddressWindow {
    let address: UInt64
    let size: UInt64
    let memory: SharedMemory
    let offset: UInt64
    let flags: DMAMapFlags
    /// Whether the device gets a descriptor.
    let isShared: Bool

    /// Makes a window that is not empty and does not pass the last address.
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

    /// Start of the window in the file of its memory, in bytes.
    var fileOffset: UInt64 { memory.fileOffset + offset }
  }

  /// A part of an access that lies in one window.
  struct Piece {
    let memory: SharedMemory
    let offset: UInt64
    let count: Int
  }

  /// The parts of an access, in order; the first is stored separately, so that the usual case of one part
  /// needs no allocation.
  struct Pieces {
    private var first: Piece?
    private var others: [Piece] = []

    var count: Int { first == nil ? 0 : 1 + others.count }

    /// Whether all bytes can be accessed without a system call.
    var areMapped: Bool { first?.memory.isMapped ?? true && others.allSatisfy(\.memory.isMapped) }

    subscript(index: Int) -> Piece {
      if index == 0, let first { return first }
      return others[index - 1]
    }

    mutating func append(_ piece: Piece) {
      if first == nil { first = piece } else { others.append(piece) }
    }
  }

  /// Maximum number of bytes of one request.
  let maxTransfer: UInt32
  private let windows = Monitor(RegisteredWindows())
  /// Held from a change of the windows until its message is queued, so that the device gets the changes in
  /// order.
  private let order = Monitor(())

  init(maxTransfer: UInt32) {
    self.maxTransfer = maxTransfer
  }

  /// Runs a closure that makes a change and queues its message, one at a time.
  func inOrder<Result>(_ body: () throws(ClientError) -> Result) throws(ClientError) -> Result {
    try order.withLock { (_) throws(ClientError) in try body() }
  }

  /// Changes the windows.
  func update<Result>(_ body: (inout RegisteredWindows) -> Result) -> Result {
    windows.withLock { body(&$0) }
  }

  /// All windows that are registered, ordered by address.
  var all: [DMAWindow] { windows.withLock { $0.registered.all } }

  /// Number of registered windows.
  var count: Int { windows.withLock { $0.registered.count } }

  /// The registered window with exactly this range.
  func window(at address: UInt64, size: UInt64) -> DMAWindow? {
    let (last, wraps) = address.addingReportingOverflow(size &- 1)
    guard size > 0, !wraps else { return nil }
    return windows.withLock { $0.registered.window(address, through: last) }
  }

  /// Whether a window permits a request.
  var isNeeded: Bool { windows.withLock { $0.count > 0 } }

  /// Splits an access at the borders of windows.
  ///
  /// - Throws: `EFAULT` for an address without a window, `EACCES` if a window does not permit the access,
  ///   `EINVAL` if the range wraps.
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

  /// Copies from memory, piece after piece.
  ///
  /// - Throws: the error of the first piece that fails.
  func copyOut(_ pieces: Pieces, to bytes: inout MutableRawSpan) throws(Errno) {
    var place = 0
    for number in 0..<pieces.count {
      let piece = pieces[number]
      var part = bytes._mutatingExtracting(place..<place + piece.count)
      try piece.memory.answerRead(at: piece.offset, into: &part)
      place += piece.count
    }
  }

  /// Copies to memory, piece after piece.
  ///
  /// - Throws: the error of the first piece that fails; the pieces before it were written.
  func copyIn(_ pieces: Pieces, from bytes: Span<UInt8>) throws(Errno) {
    var place = 0
    for number in 0..<pieces.count {
      let piece = pieces[number]
      try piece.memory.answerWrite(
        at: piece.offset, from: bytes.extracting(place..<place + piece.count))
      place += piece.count
    }
  }
}
