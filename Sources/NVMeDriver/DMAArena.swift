/// Memory shared with a device, allocated in whole pages.
public final class DMAArena {
  /// Size of a page in bytes.
  public static let pageSize = 4096
  /// The shared memory; other memory after a move that has copied it.
  public var memory: SharedMemory { home.shared }
  let home: ArenaMemory
  /// Whether the device can map the memory.
  let isShared: Bool
  /// The device's address (IOVA) of the first byte.
  public let address: UInt64
  private var isTaken: [Bool]

  /// Allocates memory and maps it for the device.
  ///
  /// - Parameters:
  ///   - client: the connection to the device.
  ///   - size: in bytes, a multiple of the page size.
  ///   - address: the device's address of the memory.
  ///   - isShared: whether the device can map the memory; otherwise it accesses it by messages.
  public init(
    _ client: Client, size: Int, at address: UInt64 = 1 << 20, isShared: Bool = true
  ) throws(NVMeDriverError) {
    precondition(size > 0 && size % Self.pageSize == 0, "\(size) bytes are not whole pages")
    let memory: SharedMemory
    do throws(SystemCallError) {
      memory = try SharedMemory(size: UInt64(size))
    } catch {
      throw .system(error)
    }
    home = ArenaMemory(memory)
    self.address = address
    self.isShared = isShared
    isTaken = Array(repeating: false, count: size / Self.pageSize)
    try throughClient { () throws(ClientError) in
      try client.map(memory, at: address, size: UInt64(size), isShared: isShared)
    }
  }

  /// Allocates at least `count` contiguous, zeroed bytes, page-aligned.
  ///
  /// - Throws: ``NVMeDriverError/outOfMemory(needed:largest:)``.
  public func allocate(_ count: Int) throws(NVMeDriverError) -> DMABuffer {
    let pages = max(1, (count + Self.pageSize - 1) / Self.pageSize)
    var start = 0
    var largest = 0
    while start < isTaken.count {
      guard let free = isTaken[start...].firstIndex(of: false) else { break }
      let end = isTaken[free...].firstIndex(of: true) ?? isTaken.count
      if end - free >= pages { return take(free..<free + pages) }
      largest = max(largest, end - free)
      start = end
    }
    throw .outOfMemory(needed: count, largest: largest * Self.pageSize)
  }

  /// Frees a buffer that the device no longer uses.
  public func free(_ buffer: DMABuffer) {
    let first = Int(buffer.offset) / Self.pageSize
    for page in first..<first + buffer.size / Self.pageSize { isTaken[page] = false }
  }

  private func take(_ pages: Range<Int>) -> DMABuffer {
    for page in pages { isTaken[page] = true }
    let offset = UInt64(pages.lowerBound * Self.pageSize)
    let buffer = DMABuffer(
      home: home, offset: offset, address: address + offset,
      size: pages.count * Self.pageSize)
    buffer.fill()
    return buffer
  }
}

/// A buffer in memory shared with a device.
public struct DMABuffer: Sendable {
  /// The memory that contains the buffer.
  public var memory: SharedMemory { home.shared }
  let home: ArenaMemory
  /// Offset of the buffer in the memory.
  public let offset: UInt64
  /// The device's address of the buffer.
  public let address: UInt64
  /// Size in bytes.
  public let size: Int

  /// Copies bytes out of the buffer.
  ///
  /// - Precondition: the range is inside the memory.
  public func read(at place: Int = 0, count: Int) -> [UInt8] {
    memory.read(at: offset + UInt64(place), count: count)
  }

  /// Copies bytes into the buffer.
  ///
  /// - Precondition: the range is inside the memory.
  public func write(at place: Int = 0, from bytes: [UInt8]) {
    home.note(offset + UInt64(place), bytes.count)
    memory.write(at: offset + UInt64(place), from: bytes)
  }

  /// Copies bytes out of the buffer into a span.
  public func read(at place: Int = 0, into bytes: inout MutableRawSpan) {
    memory.read(at: offset + UInt64(place), into: &bytes)
  }

  /// Copies the bytes of a span into the buffer.
  public func write(at place: Int = 0, from bytes: Span<UInt8>) {
    home.note(offset + UInt64(place), bytes.count)
    memory.write(at: offset + UInt64(place), from: bytes)
  }

  /// Stores a little-endian number.
  public func store(_ number: UInt64, at place: Int) {
    home.note(offset + UInt64(place), 8)
    memory.store(number, at: offset + UInt64(place))
  }

  /// Sets all bytes of the buffer to one value.
  public func fill(with byte: UInt8 = 0) {
    home.note(offset, size)
    memory.fill(at: offset, count: size, with: byte)
  }
}
