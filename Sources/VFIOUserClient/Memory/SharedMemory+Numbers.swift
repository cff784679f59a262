internal import LinuxPrimitives
internal import Synchronization

// What a driver shares with a device beside plain data: queues and doorbells, where the order of accesses
// is all that counts. Numbers are little endian, as the hosts are.

extension SharedMemory {
  /// Loads a number that the device may change at any time; what the device wrote before it is seen by
  /// everything that comes after.
  ///
  /// - Precondition: inside, naturally aligned, and the memory is mapped.
  public func load(at offset: UInt64, as type: UInt16.Type = UInt16.self) -> UInt16 {
    guard !isGuarded else { return UInt16(truncatingIfNeeded: guardedLoad(offset, 2)) }
    return unsafe word(offset, Atomic<UInt16>.self, 2).pointee.load(ordering: .acquiring)
  }

  /// Loads a number of 32 bits; as above.
  public func load(at offset: UInt64, as type: UInt32.Type = UInt32.self) -> UInt32 {
    guard !isGuarded else { return UInt32(truncatingIfNeeded: guardedLoad(offset, 4)) }
    return unsafe word(offset, Atomic<UInt32>.self, 4).pointee.load(ordering: .acquiring)
  }

  /// Loads a number of 64 bits; as above.
  public func load(at offset: UInt64, as type: UInt64.Type = UInt64.self) -> UInt64 {
    guard !isGuarded else { return guardedLoad(offset, 8) }
    return unsafe word(offset, Atomic<UInt64>.self, 8).pointee.load(ordering: .acquiring)
  }

  /// Stores a number; a device that sees it sees everything that was written before.
  ///
  /// - Precondition: inside, naturally aligned, and the memory is mapped.
  public func store(_ number: UInt32, at offset: UInt64) {
    guard !isGuarded else { return guardedStore(UInt64(number), offset, 4) }
    unsafe word(offset, Atomic<UInt32>.self, 4).pointee.store(number, ordering: .releasing)
  }

  /// Stores a number of 64 bits; as above.
  public func store(_ number: UInt64, at offset: UInt64) {
    guard !isGuarded else { return guardedStore(number, offset, 8) }
    unsafe word(offset, Atomic<UInt64>.self, 8).pointee.store(number, ordering: .releasing)
  }

  /// Nothing after this is done before everything in front of it, loads of what a device wrote included.
  public static func fullBarrier() { atomicMemoryFence(ordering: .sequentiallyConsistent) }

  /// All ones when the file has become too short.
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

  // Sound: inside of the mapping, aligned, and the mapping is memory that atomics may be laid over.
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
