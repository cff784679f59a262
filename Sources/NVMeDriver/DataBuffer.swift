/// A buffer for the data of commands, with its PRP list written once.
public struct DataBuffer: Sendable {
  /// The data.
  public let data: DMABuffer
  /// The PRP list with the pages after the first one, for buffers of more than two pages.
  let list: DMABuffer?

  /// Maximum size in bytes: as much as a PRP list of one page describes.
  public static let maxBytes = 512 * DMAArena.pageSize

  /// Allocates a buffer for `count` bytes.
  ///
  /// - Throws: ``NVMeDriverError/transferTooLong(_:limit:)`` above ``maxBytes``;
  ///   ``NVMeDriverError/outOfMemory(needed:largest:)``.
  public init(_ count: Int, in arena: DMAArena) throws(NVMeDriverError) {
    guard count <= Self.maxBytes else {
      throw .transferTooLong(count, limit: Self.maxBytes)
    }
    data = try arena.allocate(count)
    let pages = data.size / DMAArena.pageSize
    guard pages > 2 else {
      list = nil
      return
    }
    let list = try arena.allocate(DMAArena.pageSize)
    for page in 1..<pages {
      list.store(data.address + UInt64(page * DMAArena.pageSize), at: (page - 1) * 8)
    }
    self.list = list
  }

  /// PRP 1 and PRP 2 for the first `count` bytes (NVMe 1.4, section 4.3).
  ///
  /// - Precondition: `count` does not exceed the size of the buffer.
  public func pointers(_ count: Int) -> (first: UInt64, second: UInt64) {
    precondition(count <= data.size, "\(count) bytes of \(data.size)")
    if count <= DMAArena.pageSize { return (data.address, 0) }
    if count <= 2 * DMAArena.pageSize {
      return (data.address, data.address + UInt64(DMAArena.pageSize))
    }
    return (data.address, list?.address ?? 0)
  }
}

extension DMAArena {
  /// Frees a data buffer that the device no longer uses.
  public func free(_ buffer: DataBuffer) {
    free(buffer.data)
    if let list = buffer.list { free(list) }
  }
}

extension SubmissionEntry {
  /// Sets the data pointers of the command to the first `count` bytes of a buffer.
  public mutating func point(to buffer: DataBuffer, count: Int) {
    (dataPointer1, dataPointer2) = buffer.pointers(count)
  }
}
