internal import CLinux
internal import Glibc
internal import LinuxPrimitives
internal import Synchronization

/// The bytes of a disk in memory, mapped, and which of its pages were written.
///
/// A page that was never written, or was given back, is not read through the mapping, because that would make the kernel
/// allocate it: its bytes are zeros. Any thread may call any method; ``BlockClaims`` keeps requests about the same
/// blocks apart.
@safe
final class DiskMemory: @unchecked Sendable {
  private static let pageShift: UInt64 = 12

  private let mapping: MappedMemory
  // Sound: zeroed memory for one bit of each page, a whole number of words, for the life of this object; only used
  // atomically, and an atomic number has the layout of the number.
  private let written: UnsafeMutablePointer<Atomic<UInt64>>

  /// Maps the memory; nil where that cannot be, for then system calls do the same.
  ///
  /// - Parameter usesHugePages: whether what is written takes 2 MiB at a time, as long as the kernel has such pages.
  init?(_ descriptor: borrowing OwnedDescriptor, size: UInt64, usesHugePages: Bool = false) {
    let whole = size & ~(1 << Self.pageShift - 1)
    guard whole > 0,
      let mapping = try? MappedMemory(
        descriptor, at: 0, size: whole, readable: true, writable: true)
    else { return nil }
    let words = Int(whole >> Self.pageShift) / 64 + 1
    guard let memory = unsafe calloc(words, MemoryLayout<Atomic<UInt64>>.stride) else { return nil }
    if usesHugePages { mapping.adviseHugePages() }
    self.mapping = mapping
    unsafe written = memory.bindMemory(to: Atomic<UInt64>.self, capacity: words)
    guard findWritten(descriptor.number) else { return nil }
  }

  deinit { unsafe free(written) }

  /// Finds what the program before this one has written.
  ///
  /// - Returns: whether all of that is known.
  private func findWritten(_ descriptor: CInt) -> Bool {
    var end: UInt64 = 0
    while true {
      let start = unsafe clinux_storage_find_data(descriptor, end, &end)
      guard start >= 0 else { return start == -Int64(ENXIO) }
      noteWrite(UInt64(start), end - UInt64(start))
    }
  }

  /// Whether a range is mapped; a size that is no multiple of a page has a rest that is not.
  func holds(_ offset: UInt64, _ count: UInt64) -> Bool {
    offset <= mapping.size && count <= mapping.size - offset
  }

  /// A range is about to be written, in whatever way.
  func noteWrite(_ offset: UInt64, _ count: UInt64) {
    guard count > 0, offset < mapping.size else { return }
    let end = min(offset + count, mapping.size)
    for page in offset >> Self.pageShift...(end - 1) >> Self.pageShift where !isWritten(page) {
      _ = unsafe written[Int(page / 64)].bitwiseOr(1 << (page % 64), ordering: .relaxed)
    }
  }

  /// The pages that lie in a range as a whole were given back to the system.
  func noteHole(_ offset: UInt64, _ count: UInt64) {
    let end = min(offset + count, mapping.size) >> Self.pageShift
    let start = (offset + (1 << Self.pageShift - 1)) >> Self.pageShift
    guard start < end else { return }
    for page in start..<end where isWritten(page) {
      _ = unsafe written[Int(page / 64)].bitwiseAnd(~(1 << (page % 64)), ordering: .relaxed)
    }
  }

  private func isWritten(_ page: UInt64) -> Bool {
    unsafe written[Int(page / 64)].load(ordering: .relaxed) & 1 << (page % 64) != 0
  }

  /// Copies from the disk to memory that another process can take away.
  ///
  /// - Returns: false when it has done so.
  /// - Precondition: the disk ``holds(_:_:)`` the range.
  @unsafe
  func read(_ offset: UInt64, _ count: Int, to target: UnsafeMutableRawPointer) -> Bool {
    let end = offset + UInt64(count)
    var place = offset
    while place < end {
      let isData = isWritten(place >> Self.pageShift)
      var next = min(end, (place >> Self.pageShift + 1) << Self.pageShift)
      while next < end, isWritten(next >> Self.pageShift) == isData {
        next = min(end, next + 1 << Self.pageShift)
      }
      let to = unsafe target + Int(place - offset)
      let size = Int(next - place)
      let result =
        unsafe isData
        ? clinux_guarded_copy(to, mapping.pointer(place, UInt64(size)), size)
        : clinux_guarded_zero(to, size)
      guard result == 0 else { return false }
      place = next
    }
    return true
  }

  /// Copies to the disk from memory that another process can take away.
  ///
  /// - Returns: false when it has done so, or there is no memory left.
  /// - Precondition: the disk ``holds(_:_:)`` the range.
  @unsafe
  func write(_ offset: UInt64, _ count: Int, from source: UnsafeMutableRawPointer) -> Bool {
    noteWrite(offset, UInt64(count))
    return unsafe clinux_guarded_copy(mapping.pointer(offset, UInt64(count)), source, count) == 0
  }
}
