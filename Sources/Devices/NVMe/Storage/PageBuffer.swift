internal import CLinux
internal import Glibc
public import SystemPackage
internal import VFIOUserServer

/// Memory of ours that starts on a page, for data that does not go straight between file and client.
@safe
public final class PageBuffer: @unchecked Sendable {
  // Sound: `memory` has `size` bytes for the life of this object, and each access below is compared
  // with that. One party at a time has the buffer, as it has the request that it belongs to.
  private let memory: UnsafeMutableRawPointer
  /// Bytes.
  public let size: Int

  /// Allocates memory, not initialised.
  ///
  /// - Throws: `ENOMEM`.
  public init(size: Int) throws(Errno) {
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
  public func bytes(_ count: Int) -> UnsafeMutableRawBufferPointer {
    precondition(count >= 0 && count <= size, "outside of a buffer")
    return unsafe UnsafeMutableRawBufferPointer(start: memory, count: count)
  }

  /// Reads the first bytes.
  public func withBytes<Result>(_ count: Int, _ body: (Span<UInt8>) -> Result) -> Result {
    let bytes = unsafe UnsafeBufferPointer(bytes(count).bindMemory(to: UInt8.self))
    return unsafe body(Span(_unsafeElements: bytes))
  }

  /// Reads the first `count` bytes from one place of the client's memory.
  func fill(
    _ count: Int, from address: UInt64, by transfer: Transfer
  ) throws(MemoryError) {
    precondition(count >= 0 && count <= size, "outside of a buffer")
    var span = unsafe MutableRawSpan(_unsafeStart: memory, byteCount: count)
    try transfer.read(at: address, into: &span)
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

  /// Fills the buffer from the client's memory, piece after piece, up to its end.
  func gather(from ranges: [GuestRange], by transfer: Transfer) throws(MemoryError) {
    var place = 0
    for range in ranges {
      let count = Int(clamping: min(range.count, UInt64(size - place)))
      var span = unsafe MutableRawSpan(_unsafeStart: memory + place, byteCount: count)
      try transfer.read(at: range.address, into: &span)
      place += count
    }
  }

  /// Writes the buffer to the client's memory, piece after piece, up to its end.
  func scatter(to ranges: [GuestRange], by transfer: Transfer) throws(MemoryError) {
    var place = 0
    for range in ranges {
      let count = Int(clamping: min(range.count, UInt64(size - place)))
      let span = unsafe RawSpan(_unsafeStart: memory + place, byteCount: count)
      try transfer.write(at: range.address, from: span)
      place += count
    }
  }
}
