internal import LinuxPrimitives
internal import Synchronization

/// A window of client memory.
///
/// An access *pins* it; a window that is pinned is not taken back. Pins are counted with one atomic
/// instruction each; only the last one of a window that is being taken back wakes anybody.
final class DMAWindow: AddressWindow {
  let address: UInt64
  /// Not zero; `address + size` does not pass 2^64.
  let size: UInt64
  let flags: DMAMapFlags
  /// Nil when the client sent no descriptor: reached by messages only.
  let mapping: MappedMemory?
  /// What the mapping takes of the process's budget.
  private let claim: MappingBudget.Reservation?
  private let pins = Atomic<Int>(0)
  private let closing = Atomic<Bool>(false)

  init(_ request: DMAMap, _ mapping: MappedMemory?, _ claim: MappingBudget.Reservation? = nil) {
    address = request.address
    size = request.size
    flags = request.flags
    self.mapping = mapping
    self.claim = claim
  }

  var last: UInt64 { address + (size - 1) }

  /// Bytes from an address inside the window to its end.
  func rest(from address: UInt64) -> UInt64 { last - address + 1 }

  // Sequential consistency for the two flags: either the one who unpins sees that the window is
  // closing, or the one who closes it sees no pin.

  /// Holds the window; the caller has the lock of the map, and the window is not closing.
  func pin() { pins.add(1, ordering: .sequentiallyConsistent) }

  /// Lets go.
  ///
  /// - Returns: whether somebody waits for it.
  func unpin() -> Bool {
    let (_, left) = pins.subtract(1, ordering: .sequentiallyConsistent)
    return left == 0 && closing.load(ordering: .sequentiallyConsistent)
  }

  /// Whether an access is under way.
  var isPinned: Bool { pins.load(ordering: .sequentiallyConsistent) > 0 }

  /// Whether the window is being taken back, so that no new access may begin.
  var isClosing: Bool {
    get { closing.load(ordering: .sequentiallyConsistent) }
    set { closing.store(newValue, ordering: .sequentiallyConsistent) }
  }
}
