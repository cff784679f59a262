internal import Synchronization

// What a driver shares with a device beside plain data: queues and doorbells, where the order of accesses
// is all that counts. Numbers are little endian, as the hosts are.

extension SharedMemory {
  /// Loads a number that the device may change at any time; what the device wrote before it is seen by
  /// everything that comes after.
  ///
  /// - Precondition: inside, and naturally aligned.
  public func load(at offset: UInt64, as type: UInt16.Type = UInt16.self) -> UInt16 {
    unsafe word(offset, Atomic<UInt16>.self, 2).pointee.load(ordering: .acquiring)
  }

  /// Loads a number of 32 bits; as above.
  public func load(at offset: UInt64, as type: UInt32.Type = UInt32.self) -> UInt32 {
    unsafe word(offset, Atomic<UInt32>.self, 4).pointee.load(ordering: .acquiring)
  }

  /// Loads a number of 64 bits; as above.
  public func load(at offset: UInt64, as type: UInt64.Type = UInt64.self) -> UInt64 {
    unsafe word(offset, Atomic<UInt64>.self, 8).pointee.load(ordering: .acquiring)
  }

  /// Stores a number; a device that sees it sees everything that was written before.
  ///
  /// - Precondition: inside, and naturally aligned.
  public func store(_ number: UInt32, at offset: UInt64) {
    unsafe word(offset, Atomic<UInt32>.self, 4).pointee.store(number, ordering: .releasing)
  }

  /// Stores a number of 64 bits; as above.
  public func store(_ number: UInt64, at offset: UInt64) {
    unsafe word(offset, Atomic<UInt64>.self, 8).pointee.store(number, ordering: .releasing)
  }

  /// Nothing after this is done before everything in front of it, loads of what a device wrote included.
  public static func fullBarrier() { atomicMemoryFence(ordering: .sequentiallyConsistent) }

  /// Sets a range to one byte.
  ///
  /// - Precondition: the range lies inside.
  public func fill(at offset: UInt64, count: Int, with byte: UInt8 = 0) {
    checkRange(offset, count)
    unsafe UnsafeMutableRawBufferPointer(start: address + Int(offset), count: count)
      .initializeMemory(as: UInt8.self, repeating: byte)
  }

  // Sound: inside of the mapping, aligned, and the mapping is memory that atomics may be laid over.
  @unsafe
  private func word<Word: ~Copyable>(
    _ offset: UInt64, _ type: Word.Type, _ size: Int
  ) -> UnsafeMutablePointer<Word> {
    checkRange(offset, size)
    precondition(offset % UInt64(size) == 0, "a number at \(offset) is not aligned")
    return unsafe (address + Int(offset)).assumingMemoryBound(to: Word.self)
  }
}
