internal import LinuxPrimitives
internal import Synchronization

/// A DMA window.
///
/// An access *pins* it; a pinned window is not unmapped. Each pin costs one atomic instruction; only the last
/// unpin of a window that is being removed signals anybody.
final class DMAWindow: AddressWindow {
  let address: UInt64
  /// Not zero; `address + size` does not pass 2^64.
  let size: UInt64
  let flags: DMAMapFlags
  /// Nil if the client sent no descriptor: accessed by messages only.
  let mapping: MappedMemory?
  /// The file that is mapped, for a new version of the program; nil if it is not kept open.
  let file: KeptFile?
  /// Offset in the file.
  let offset: UInt64
  /// The reservation of the mapping in the process's budget.
  private let claim: MappingBudget.Reservation?
  private let pins = Atomic<Int>(0)
  private let closing = Atomic<Bool>(false)

  init(
    _ request: DMAMap, _ mapping: MappedMemory?, _ claim: MappingBudget.Reservation? = nil,
    file: KeptFile? = nil
  ) {
    offset = request.offset
    self.file = file
    address = request.address
    size = request.size
    flags = request.flags
    self.mapping = mapping
    self.claim = claim
  }

  var last: UInt64 { address + (size - 1) }

  /// Number of bytes from an address in the window to its end.
  func rest(from address: UInt64) -> UInt64 { last - address + 1 }

  // Sequentially consistent: either the thread that unpins sees that the window is closing, or the thread
  // that closes it sees no pin.

  /// Pins the window; the caller holds the lock of the windows, and the window is not closing.
  func pin() { pins.add(1, ordering: .sequentiallyConsistent) }

  /// Unpins the window.
  ///
  /// - Returns: whether a removal waits for it.
  func unpin() -> Bool {
    let (_, left) = pins.subtract(1, ordering: .sequentiallyConsistent)
    return left == 0 && closing.load(ordering: .sequentiallyConsistent)
  }

  /// Whether an access is in progress.
  var isPinned: Bool { pins.load(ordering: .sequentiallyConsistent) > 0 }

  /// Whether the window is being removed, so that no new access may begin.
  var isClosing: Bool {
    get { closing.load(ordering: .sequentiallyConsistent) }
    set { closing.store(newValue, ordering: .sequentiallyConsistent) }
  }
}
