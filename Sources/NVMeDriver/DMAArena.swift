public import VFIOUserClient
internal import VFIOUserTransport

/// Memory that is shared with a device, handed out in whole pages.
public final class DMAArena {
  /// Bytes of a page.
  public static let pageSize = 4096
  /// The memory itself.
  public let memory: SharedMemory
  /// Where the device sees its first byte.
  public let address: UInt64
  private var isTaken: [Bool]

  /// Allocates memory and lends it to the device.
  ///
  /// - Parameters:
  ///   - client: the device.
  ///   - size: bytes, a multiple of the page size.
  ///   - address: where the device shall see it.
  ///   - isShared: whether the device gets the memory itself; else it reaches it by messages.
  public init(
    _ client: Client, size: Int, at address: UInt64 = 1 << 20, isShared: Bool = true
  ) throws(NVMeDriverError) {
    precondition(size > 0 && size % Self.pageSize == 0, "\(size) bytes are not whole pages")
    do throws(SystemCallError) {
      memory = try SharedMemory(size: UInt64(size))
    } catch {
      throw .system(error)
    }
    self.address = address
    isTaken = Array(repeating: false, count: size / Self.pageSize)
    let memory = memory
    try throughClient { () throws(ClientError) in
      try client.map(memory, at: address, size: UInt64(size), isShared: isShared)
    }
  }

  /// A piece of at least `count` bytes, zeroed, in one piece and starting on a page.
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

  /// Takes a piece back that the device no longer uses.
  public func free(_ buffer: DMABuffer) {
    let first = Int(buffer.offset) / Self.pageSize
    for page in first..<first + buffer.size / Self.pageSize { isTaken[page] = false }
  }

  private func take(_ pages: Range<Int>) -> DMABuffer {
    for page in pages { isTaken[page] = true }
    let offset = UInt64(pages.lowerBound * Self.pageSize)
    let buffer = DMABuffer(
      memory: memory, offset: offset, address: address + offset,
      size: pages.count * Self.pageSize)
    memory.fill(at: offset, count: buffer.size)
    return buffer
  }
}

/// A piece of memory that is shared with a device.
public struct DMABuffer: Sendable {
  /// The memory that it is a piece of.
  public let memory: SharedMemory
  /// Where in the memory it starts.
  public let offset: UInt64
  /// Where the device sees it.
  public let address: UInt64
  /// Bytes.
  public let size: Int

  /// A copy of some bytes.
  ///
  /// - Precondition: the range lies in the memory.
  public func read(at place: Int = 0, count: Int) -> [UInt8] {
    memory.read(at: offset + UInt64(place), count: count)
  }

  /// Copies bytes in.
  ///
  /// - Precondition: the range lies in the memory.
  public func write(at place: Int = 0, from bytes: [UInt8]) {
    memory.write(at: offset + UInt64(place), from: bytes)
  }

  /// Copies bytes out into a span.
  public func read(at place: Int = 0, into bytes: inout MutableRawSpan) {
    memory.read(at: offset + UInt64(place), into: &bytes)
  }

  /// Copies the bytes of a span in.
  public func write(at place: Int = 0, from bytes: Span<UInt8>) {
    memory.write(at: offset + UInt64(place), from: bytes)
  }

  /// Stores a number, in the order of the device.
  public func store(_ number: UInt64, at place: Int) {
    memory.store(number, at: offset + UInt64(place))
  }

  /// Sets all of it to one byte.
  public func fill(with byte: UInt8 = 0) { memory.fill(at: offset, count: size, with: byte) }
}
