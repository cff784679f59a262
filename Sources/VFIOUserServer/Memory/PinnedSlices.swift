public import Glibc

/// Client memory that stays pinned for asynchronous operations of the kernel, such as those of io_uring.
///
/// The DMA windows are pinned until ``release()``, or the end of this value. A DMA_UNMAP waits for that, and
/// is refused with EBUSY after the server's `quiesceTimeout`. When the client disconnects, its memory stays
/// mapped until then. So an operation that was started for one client never accesses the memory of another.
/// Release as soon as the operation has ended.
///
/// Use the addresses in system calls only. Where the client has truncated its file, a system call fails with
/// `EFAULT`; an access by this process raises SIGBUS.
///
/// A value can be reused, and allocates only if a list is longer than all earlier ones. It must be used by
/// one thread at a time.
@safe
public struct PinnedSlices: ~Copyable, @unchecked Sendable {
  // Sound: the first `count` places of the buffers are initialised, and each has one retain and one pin of
  // its window; `capacity` is their size. Nobody else has the buffers.
  private var list: UnsafeMutablePointer<iovec>
  private var holds: UnsafeMutablePointer<Hold>
  private var capacity: Int
  /// Number of slices.
  public private(set) var count = 0
  /// Total number of bytes.
  public private(set) var byteCount: UInt64 = 0
  private var memory: GuestMemory?
  private var isWriting = false

  /// A pinned window, and the guest address of the slice.
  @unsafe
  private struct Hold {
    let window: Unmanaged<DMAWindow>
    let address: UInt64
  }

  /// Makes an empty list.
  ///
  /// - Parameter capacity: initial capacity in slices, from 1 to ``GuestMemoryAccess/maxSlices``.
  public init(capacity: Int = 4) {
    precondition(1...GuestMemoryAccess.maxSlices ~= capacity, "room for \(capacity) slices")
    unsafe list = .allocate(capacity: capacity)
    unsafe holds = .allocate(capacity: capacity)
    self.capacity = capacity
  }

  deinit {
    // A deinit cannot call a mutating method: what `release` does, without the bookkeeping.
    if let memory { unsafe Self.unpin(memory, isWriting, list, holds, count) }
    unsafe list.deallocate()
    unsafe holds.deallocate()
  }

  /// Pins a range, and appends it to the ranges that are pinned already.
  ///
  /// Ranges that are contiguous in memory become one slice.
  ///
  /// - Parameters:
  ///   - range: the guest addresses; may span several windows.
  ///   - direction: `reading` for calls that take data out of the client's memory, `writing` for those that
  ///     put data there; the same for all ranges until ``release()``.
  ///   - access: to the memory of the client; of the same client for all ranges until ``release()``.
  /// - Throws: ``MemoryError``, with ``MemoryError/needsMapping(at:)`` for memory that is accessed by
  ///   messages. All ranges are released then, earlier ones too.
  public mutating func pin(
    _ range: GuestRange, for direction: GuestMemoryAccess.Direction, of access: GuestMemoryAccess
  ) throws(MemoryError) {
    precondition(memory == nil || memory === access.memory, "ranges of two devices")
    memory = access.memory
    do throws(MemoryError) {
      try unsafe access.forEachPiece(of: range, direction) {
        (window, address, slice) throws(MemoryError) in unsafe add(window, address, slice)
      }
      isWriting = direction == .writing
    } catch {
      // Nothing was written.
      isWriting = false
      release()
      throw error
    }
  }

  /// Releases all ranges; does nothing if there are none.
  public mutating func release() {
    guard let memory else { return }
    unsafe Self.unpin(memory, isWriting, list, holds, count)
    count = 0
    byteCount = 0
    self.memory = nil
    isWriting = false
  }

  /// The slices, for a system call; valid until the next ``pin(_:for:of:)`` or ``release()``.
  @unsafe
  public var slices: UnsafeBufferPointer<iovec> {
    unsafe UnsafeBufferPointer(start: list, count: count)
  }

  /// Appends a piece, whose window is pinned; false if there are too many.
  @unsafe
  private mutating func add(_ window: DMAWindow, _ address: UInt64, _ slice: iovec) -> Bool {
    let continuesLast = count > 0 ? unsafe continues(window, slice) : false
    if continuesLast {
      unsafe list[count - 1].iov_len += slice.iov_len
      byteCount += UInt64(unsafe slice.iov_len)
      // One pin per slice is enough, and the slice before holds one.
      memory?.unpin(window)
      return true
    }
    if count == capacity {
      guard unsafe grow() else { return false }
    }
    let hold = unsafe Hold(window: .passRetained(window), address: address)
    unsafe (holds + count).initialize(to: hold)
    unsafe (list + count).initialize(to: slice)
    count += 1
    byteCount += UInt64(unsafe slice.iov_len)
    return true
  }

  @unsafe
  private func continues(_ window: DMAWindow, _ slice: iovec) -> Bool {
    let last = unsafe list[count - 1]
    let isSame =
      unsafe holds[count - 1].window.toOpaque() == Unmanaged.passUnretained(window).toOpaque()
    return unsafe isSame && last.iov_base + last.iov_len == slice.iov_base
  }

  @unsafe
  private mutating func grow() -> Bool {
    guard capacity < GuestMemoryAccess.maxSlices else { return false }
    let larger = min(capacity * 4, GuestMemoryAccess.maxSlices)
    let newList = UnsafeMutablePointer<iovec>.allocate(capacity: larger)
    let newHolds = UnsafeMutablePointer<Hold>.allocate(capacity: larger)
    unsafe newList.moveInitialize(from: list, count: count)
    unsafe newHolds.moveInitialize(from: holds, count: count)
    unsafe list.deallocate()
    unsafe holds.deallocate()
    unsafe (list, holds, capacity) = (newList, newHolds, larger)
    return true
  }

  @unsafe
  private static func unpin(
    _ memory: GuestMemory, _ isWriting: Bool,
    _ list: UnsafeMutablePointer<iovec>, _ holds: UnsafeMutablePointer<Hold>, _ count: Int
  ) {
    for index in 0..<count {
      let hold = unsafe holds[index]
      // Before it is unpinned: a DMA_UNMAP must find the write reported.
      if isWriting { memory.noteWrite(unsafe hold.address, UInt64(unsafe list[index].iov_len)) }
      memory.unpin(unsafe hold.window.takeRetainedValue())
    }
  }
}
