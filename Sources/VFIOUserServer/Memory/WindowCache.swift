internal import CLinux
internal import LinuxPrimitives
internal import Synchronization

/// The DMA windows that a thread has accessed last, kept pinned so that it finds them again without a lock.
///
/// For a thread that is busy, and for accesses that are guarded leaf functions or system calls that do not wait. The windows
/// stay pinned from ``place(_:_:_:)`` to ``release()``: a DMA_UNMAP waits for that. So the thread calls ``refresh(_:)`` at
/// each turn, which lets go when anything has changed, and ``release()`` before it sleeps, and before an access by
/// ``GuestMemoryAccess``, which may wait until a window that is being removed has gone.
///
/// Between ``hold()`` and ``endHold()`` no window is let go, so that all addresses that were found stay good: what that would
/// take is not found then.
///
/// As with every access, one that has begun may end after its generation has.
@safe
package struct WindowCache: ~Copyable {
  /// A window that is pinned, and where it is.
  @unsafe @usableFromInline
  struct Entry {
    @usableFromInline let first: UInt64
    @usableFromInline let last: UInt64
    @usableFromInline let start: UnsafeMutableRawPointer
    @usableFromInline let isReadable: Bool
    @usableFromInline let isWritable: Bool
    let window: Unmanaged<DMAWindow>
  }

  /// Most windows; a guest's data is rarely in more at a time.
  private static let capacity = 8

  // Sound: room for `capacity` entries, of which the first `count` are initialised, each with one retain and one pin of its
  // window. Nobody else has the memory.
  @usableFromInline let entries: UnsafeMutablePointer<Entry>
  @usableFromInline var count = 0
  /// ``GuestMemory/epoch`` when the entries were found.
  @usableFromInline var epoch: UInt64 = .max
  @usableFromInline var memory: GuestMemory
  private var generation: UInt64
  /// Whether addresses are kept for longer than until the next call.
  private var isHeld = false

  /// Makes an empty cache.
  package init(_ access: GuestMemoryAccess) {
    unsafe entries = .allocate(capacity: Self.capacity)
    memory = access.memory
    generation = access.generation
  }

  deinit {
    // A deinit cannot call a mutating method.
    for index in 0..<count { unsafe Self.unpin(entries[index], memory) }
    unsafe entries.deallocate()
  }

  /// Takes the access that is to be used from now on by this thread, and lets go of what is not current any more.
  package mutating func refresh(_ access: borrowing GuestMemoryAccess) {
    if memory.isGuarded { clinux_guard_enter_thread() }
    guard access.generation != generation || epoch != memory.epoch.load(ordering: .acquiring) else {
      return
    }
    release()
    generation = access.generation
  }

  /// Addresses that are found from now on stay good until ``endHold()``.
  package mutating func hold() { isHeld = true }

  /// The addresses are not used any more.
  package mutating func endHold() { isHeld = false }

  /// Lets go of all windows.
  ///
  /// - Precondition: none is held.
  package mutating func release() {
    precondition(!isHeld || count == 0, "addresses in client memory are in use")
    for index in 0..<count { unsafe Self.unpin(entries[index], memory) }
    count = 0
  }

  @unsafe
  private static func unpin(_ entry: Entry, _ memory: GuestMemory) {
    memory.unpin(unsafe entry.window.takeRetainedValue())
  }

  /// Where a range of guest addresses is, if it lies in one window that is mapped and permits the access; else nil, and
  /// ``GuestMemoryAccess`` finds out why.
  ///
  /// - Parameters:
  ///   - address: the first guest address.
  ///   - size: bytes, at least 1.
  ///   - direction: what is done there.
  /// - Returns: the address here, until the next call of any method that changes this value, or until ``endHold()``; another process may truncate
  ///   the memory, so it is for guarded accesses and system calls only.
  @unsafe @inlinable
  package mutating func place(
    _ address: UInt64, _ size: UInt64, _ direction: GuestMemoryAccess.Direction
  ) -> UnsafeMutableRawPointer? {
    if epoch == memory.epoch.load(ordering: .acquiring) {
      var index = 0
      while index < count {
        let entry = unsafe entries + index
        if unsafe address >= entry.pointee.first && address <= entry.pointee.last {
          return unsafe Self.place(address, size, direction, entry)
        }
        index += 1
      }
    }
    return unsafe find(address, size, direction)
  }

  @unsafe @inlinable
  static func place(
    _ address: UInt64, _ size: UInt64, _ direction: GuestMemoryAccess.Direction,
    _ entry: UnsafeMutablePointer<Entry>
  ) -> UnsafeMutableRawPointer? {
    let isPermitted =
      unsafe direction == .reading
      ? entry.pointee.isReadable : entry.pointee.isWritable
    guard isPermitted, unsafe size - 1 <= entry.pointee.last - address else { return nil }
    return unsafe entry.pointee.start + Int(truncatingIfNeeded: address - entry.pointee.first)
  }

  /// Pins the window of an address, and lets go of those that are not current any more.
  @unsafe @usableFromInline
  mutating func find(
    _ address: UInt64, _ size: UInt64, _ direction: GuestMemoryAccess.Direction
  ) -> UnsafeMutableRawPointer? {
    if count == Self.capacity {
      guard !isHeld else { return nil }
      release()
    }
    let (found, newEpoch) = memory.pinWindow(holding: address, generation)
    if newEpoch != epoch {
      guard !isHeld || count == 0 else {
        // A window that is held may be about to go: who holds it has to finish first.
        if let found { memory.unpin(found.window) }
        return nil
      }
      release()
      epoch = newEpoch
    }
    guard let (window, mapping) = found else { return nil }
    let entry = unsafe Entry(
      first: window.address, last: window.last, start: mapping.pointer(0, window.size),
      isReadable: window.flags.contains(.readable), isWritable: window.flags.contains(.writable),
      window: .passRetained(window))
    unsafe (entries + count).initialize(to: entry)
    count += 1
    return unsafe Self.place(address, size, direction, entries + count - 1)
  }

  /// Whether writes have to be reported with ``noteWrite(_:_:)``; to be asked after each.
  @inlinable package var isObserved: Bool { memory.isObserved.load(ordering: .acquiring) }

  /// A range was written, and is still pinned.
  package func noteWrite(_ address: UInt64, _ size: UInt64) { memory.noteWrite(address, size) }
}

extension GuestMemory {
  /// Pins the window of an address, if it may be accessed; does not wait for one.
  ///
  /// - Returns: the window, and the epoch in which it was found.
  fileprivate func pinWindow(
    holding address: UInt64, _ generation: UInt64
  ) -> (found: (window: DMAWindow, mapping: MappedMemory)?, epoch: UInt64) {
    state.withLock { state in
      let epoch = epoch.load(ordering: .relaxed)
      guard state.generation == generation, state.isDMAAllowed, state.isBusMaster,
        let window = state.table.window(holding: address), !window.isClosing,
        let mapping = window.mapping
      else { return (nil, epoch) }
      window.pin()
      return ((window, mapping), epoch)
    }
  }
}
