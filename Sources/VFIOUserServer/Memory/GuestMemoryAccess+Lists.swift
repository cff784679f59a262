// Copies between this process's memory and the pieces of a scatter list.

extension GuestMemoryAccess {
  /// Copies the pieces of a list, one after the other, until `bytes` is full or the list ends.
  ///
  /// - Returns: how many bytes were copied.
  /// - Throws: ``MemoryError``; the pieces before the one that failed were copied.
  @discardableResult
  public func read(
    _ list: [GuestRange], into bytes: inout MutableRawSpan
  ) throws(MemoryError) -> Int {
    try unsafe bytes.withUnsafeMutableBytes { (buffer) throws(MemoryError) in
      try unsafe copy(list, buffer, .reading)
    }
  }

  /// Copies to the pieces of a list, one after the other, until `bytes` or the list ends.
  ///
  /// - Returns: how many bytes were copied.
  /// - Throws: ``MemoryError``; the pieces before the one that failed were copied.
  @discardableResult
  public func write(_ list: [GuestRange], from bytes: RawSpan) throws(MemoryError) -> Int {
    try unsafe bytes.withUnsafeBytes { (buffer) throws(MemoryError) in
      // Sound: with `.writing`, the buffer is only read.
      try unsafe copy(list, UnsafeMutableRawBufferPointer(mutating: buffer), .writing)
    }
  }

  @unsafe
  private func copy(
    _ list: [GuestRange], _ bytes: UnsafeMutableRawBufferPointer, _ direction: Direction
  ) throws(MemoryError) -> Int {
    var done = 0
    for range in list where done < bytes.count {
      let count = Int(clamping: min(range.count, UInt64(bytes.count - done)))
      let piece = unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[done..<done + count])
      try unsafe copy(at: range.address, piece, direction)
      done += count
    }
    return done
  }
}
