internal import LinuxPrimitives
internal import Synchronization

// Atomic accesses for queues and doorbells that a driver shares with a device. Numbers are little endian.

extension SharedMemory {
  /// Loads a number of 16 bits, with acquiring ordering: later accesses see what the device wrote before it.
  ///
  /// - Precondition: the number lies in the memory, is naturally aligned, and the memory is mapped.
  public func load(at offset: UInt64, as type: UInt16.Type = UInt16.self) -> UInt16 {
    guard !isGuarded else { return UInt16(truncatingIfNeeded: guardedLoad(offset, 2)) }
    return unsafe word(offset, Atomic<UInt16>.self, 2).pointee.load(ordering: .acquiring)
  }

  /// Loads a number of 32 bits, with acquiring ordering.
  public func load(at offset: UInt64, as type: UInt32.Type = UInt32.self) -> UInt32 {
    guard !isGuarded else { return UInt32(truncatingIfNeeded: guardedLoad(offset, 4)) }
    return unsafe word(offset, Atomic<UInt32>.self, 4).pointee.load(ordering: .acquiring)
  }

  /// Loads a number of 64 bits, with acquiring ordering.
  public func load(at offset: UInt64, as type: UInt64.Type = UInt64.self) -> UInt64 {
    guard !isGuarded else { return guardedLoad(offset, 8) }
    return unsafe word(offset, Atomic<UInt64>.self, 8).pointee.load(ordering: .acquiring)
  }

  /// Stores a number of 32 bits, with releasing ordering: a device that sees it sees what was written before.
  ///
  /// - Precondition: the number lies in the memory, is naturally aligned, and the memory is mapped.
  public func store(_ number: UInt32, at offset: UInt64) {
    guard !isGuarded else { return guardedStore(UInt64(number), offset, 4) }
    unsafe word(offset, Atomic<UInt32>.self, 4).pointee.store(number, ordering: .releasing)
  }

  /// Stores a number of 64 bits, with releasing ordering.
  public func store(_ number: UInt64, at offset: UInt64) {
    guard !isGuarded else { return guardedStore(number, offset, 8) }
    unsafe word(offset, Atomic<UInt64>.self, 8).pointee.store(number, ordering: .releasing)
  }

  /// A full memory fence: no access after it happens before an access in front of it.
  public static func fullBarrier() { atomicMemoryFence(ordering: .sequentiallyConsistent) }

  /// All ones if the file was truncated.
  private func guardedLoad(_ offset: UInt64, _ size: Int) -> UInt64 {
    let place = unsafe alignedPointer(offset, size)
    if let number = unsafe SharedNumber.load(place, size: size) { return number }
    noteTruncation()
    return .max
  }

  private func guardedStore(_ number: UInt64, _ offset: UInt64, _ size: Int) {
    let place = unsafe alignedPointer(offset, size)
    if unsafe !SharedNumber.store(number, place, size: size) { noteTruncation() }
  }

  // Sound: the number lies in the mapping and is aligned, and the mapping outlives the access.
  @unsafe
  private func word<Word: ~Copyable>(
    _ offset: UInt64, _ type: Word.Type, _ size: Int
  ) -> UnsafeMutablePointer<Word> {
    unsafe alignedPointer(offset, size).assumingMemoryBound(to: Word.self)
  }

  @unsafe
  private func alignedPointer(_ offset: UInt64, _ size: Int) -> UnsafeMutableRawPointer {
    precondition(offset % UInt64(size) == 0, "a number at \(offset) is not aligned")
    return unsafe pointer(offset, size)
  }
}
