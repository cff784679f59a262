internal import CLinux
internal import Glibc
internal import SystemPackage

/// Memory of ours that starts on a page, for data that does not go straight between file and client.
@safe
final class PageBuffer: @unchecked Sendable {
  // Sound: `memory` has `size` bytes for the life of this object, and each access below is compared
  // with that. One party at a time has the buffer, as it has the request that it belongs to.
  private let memory: UnsafeMutableRawPointer
  /// Bytes.
  let size: Int

  /// Allocates memory, not initialised.
  ///
  /// - Throws: `ENOMEM`.
  init(size: Int) throws(Errno) {
    guard let memory = unsafe clinux_aligned_memory(4096, max(size, 4096)) else {
      throw .noMemory
    }
    unsafe self.memory = memory
    self.size = max(size, 4096)
    unsafe memory.initializeMemory(as: UInt8.self, repeating: 0, count: self.size)
  }

  deinit { unsafe clinux_free(memory) }

  /// The first `count` bytes, for a system call or a copy.
  @unsafe
  func bytes(_ count: Int) -> UnsafeMutableRawBufferPointer {
    precondition(count >= 0 && count <= size, "outside of a buffer")
    return unsafe UnsafeMutableRawBufferPointer(start: memory, count: count)
  }

  /// The address of a byte.
  @unsafe
  func place(_ offset: Int) -> UnsafeMutableRawPointer {
    precondition(offset >= 0 && offset < size, "outside of a buffer")
    return unsafe memory + offset
  }

  /// Reads the first bytes.
  func withBytes<Result>(_ count: Int, _ body: (Span<UInt8>) -> Result) -> Result {
    let bytes = unsafe UnsafeBufferPointer(bytes(count).bindMemory(to: UInt8.self))
    return unsafe body(Span(_unsafeElements: bytes))
  }

  /// Reads the first `count` bytes from one place of the client's memory.
  func fill(
    _ count: Int, from address: UInt64, by access: GuestMemoryAccess
  ) throws(MemoryError) {
    precondition(count >= 0 && count <= size, "outside of a buffer")
    var span = unsafe MutableRawSpan(_unsafeStart: memory, byteCount: count)
    try access.read(at: address, into: &span)
  }

  /// Copies the first bytes of another.
  func copy(_ other: PageBuffer, count: Int) {
    precondition(count >= 0 && count <= min(size, other.size), "outside of a buffer")
    unsafe memory.copyMemory(from: other.memory, byteCount: count)
  }

  /// The little endian number at an offset.
  func number(at offset: Int) -> UInt64 {
    precondition(offset >= 0 && offset <= size - 8, "outside of a buffer")
    return UInt64(
      littleEndian: unsafe memory.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
  }

  /// Whether the first bytes are the same.
  func isEqual(to other: PageBuffer, count: Int) -> Bool {
    precondition(count >= 0 && count <= min(size, other.size), "outside of a buffer")
    return unsafe memcmp(memory, other.memory, count) == 0
  }

  /// Most bytes that are moved without asking whether anybody wants them; each may take a message.
  private static let maxAtOnce = 64 << 10

  /// Fills the buffer from the client's memory, piece after piece, up to its end.
  ///
  /// - Parameters:
  ///   - ranges: where the bytes are.
  ///   - access: the client's memory.
  ///   - isWanted: asked before each piece.
  /// - Returns: whether all of them were wanted.
  @discardableResult
  func gather(
    from ranges: [GuestRange], by access: GuestMemoryAccess, while isWanted: () -> Bool = { true }
  ) throws(MemoryError) -> Bool {
    try forEachPiece(of: ranges) { (piece, place) throws(MemoryError) in
      guard isWanted() else { return false }
      var span = unsafe MutableRawSpan(
        _unsafeStart: memory + place, byteCount: Int(piece.count))
      try access.read(at: piece.address, into: &span)
      return true
    }
  }

  /// Writes the buffer to the client's memory, piece after piece, up to its end.
  ///
  /// - Parameters:
  ///   - ranges: where the bytes go.
  ///   - access: the client's memory.
  ///   - begin: asked before each piece whether it is wanted.
  ///   - end: called when such a piece was written, or could not be.
  /// - Returns: whether all of them were wanted.
  func scatter(
    to ranges: [GuestRange], by access: GuestMemoryAccess, begin: (GuestRange) -> Bool,
    end: (GuestRange) -> Void
  ) throws(MemoryError) -> Bool {
    try forEachPiece(of: ranges) { (piece, place) throws(MemoryError) in
      let span = unsafe RawSpan(_unsafeStart: memory + place, byteCount: Int(piece.count))
      guard begin(piece) else { return false }
      defer { end(piece) }
      try access.write(at: piece.address, from: span)
      return true
    }
  }

  /// Gives `body` pieces of the client's memory, and the places in the buffer that belong to them, until it returns
  /// false.
  private func forEachPiece(
    of ranges: [GuestRange], _ body: (GuestRange, Int) throws(MemoryError) -> Bool
  ) throws(MemoryError) -> Bool {
    var place = 0
    for range in ranges {
      let end = place + Int(clamping: min(range.count, UInt64(size - place)))
      var address = range.address
      while place < end {
        let count = min(end - place, Self.maxAtOnce)
        guard try body(GuestRange(address: address, count: UInt64(count)), place) else {
          return false
        }
        place += count
        address &+= UInt64(count)
      }
    }
    return true
  }
}
