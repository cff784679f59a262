internal import CLinux
internal import SystemPackage
package import VFIOUserTransport

/// A memory file of a VMM, which it lends to clients part by part.
package final class MemoryFile: Sendable {
  private let file: OwnedDescriptor

  /// A file of `size` bytes, all zeros, that takes seals.
  ///
  /// - Parameter isHuge: whether it consists of pages of 2 MiB.
  package init(size: UInt64, isHuge: Bool = false) throws(SystemCallError) {
    let number = unsafe clinux_sealable_memory_file("ram", size, isHuge ? 1 : 0)
    file = OwnedDescriptor(adopting: try checked("memfd_create", number))
  }

  /// Seals it against shrinking, and against writing if wanted.
  package func seal(writing: Bool = false) throws(SystemCallError) {
    _ = try checked("fcntl(F_ADD_SEALS)", clinux_seal(file.number, writing ? 1 : 0))
  }

  /// A descriptor to lend.
  package func descriptor() throws(SystemCallError) -> OwnedDescriptor { try file.duplicate() }

  /// A descriptor that permits only reading, or only writing.
  package func descriptor(onlyWriting: Bool) throws(SystemCallError) -> OwnedDescriptor {
    OwnedDescriptor(
      adopting: try checked("open", clinux_reopen(file.number, onlyWriting ? 1 : 0)))
  }

  /// Cuts the file short, or makes it longer.
  package func resize(to size: UInt64) { _ = clinux_truncate(file.number, size) }

  /// Bytes of the file, fewer at its end.
  package func read(at offset: UInt64, count: Int) -> [UInt8] {
    unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      filled = Int(
        max(0, unsafe clinux_read_at(file.number, buffer.baseAddress, count, offset)))
    }
  }

  /// Writes bytes of the file.
  package func write(at offset: UInt64, from bytes: [UInt8]) {
    unsafe bytes.withUnsafeBytes {
      _ = unsafe clinux_write_at(file.number, $0.baseAddress, $0.count, offset)
    }
  }

  /// Maps a part of it; unmapped with the process.
  @unsafe
  package func map(at offset: UInt64, size: UInt64) throws(SystemCallError)
    -> UnsafeMutableRawPointer
  {
    var mapped: UnsafeMutableRawPointer?
    _ = try checked("mmap", unsafe clinux_map(file.number, offset, size, 1, 1, &mapped))
    guard let mapped = unsafe mapped else {
      throw SystemCallError(call: "mmap", code: .noMemory)
    }
    return unsafe mapped
  }
}
