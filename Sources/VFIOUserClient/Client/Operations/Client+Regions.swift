internal import LinuxPrimitives

extension Client {
  /// Reads from a region (`VFIO_USER_REGION_READ`), in as many messages as needed.
  public func read(
    _ region: RegionIndex, at offset: UInt64, count: Int, timeout: Duration? = nil
  ) throws(ClientError) -> [UInt8] {
    try read(region, at: offset, count: count, before: timeout.deadline)
  }

  func read(
    _ region: RegionIndex, at offset: UInt64, count: Int, before deadline: Deadline?
  ) throws(ClientError) -> [UInt8] {
    var failure: ClientError?
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      let target = UnsafeMutableRawBufferPointer(buffer)
      do throws(ClientError) {
        unsafe try read(region, at: offset, into: target, deadline)
        filled = count
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return bytes
  }

  /// Reads from a region into the caller's buffer.
  public func read(
    _ region: RegionIndex, at offset: UInt64, into bytes: inout MutableRawSpan,
    timeout: Duration? = nil
  ) throws(ClientError) {
    try unsafe bytes.withUnsafeMutableBytes { (target) throws(ClientError) in
      unsafe try read(region, at: offset, into: target, timeout.deadline)
    }
  }

  private func read(
    _ region: RegionIndex, at offset: UInt64, into target: UnsafeMutableRawBufferPointer,
    _ deadline: Deadline?
  ) throws(ClientError) {
    guard target.count > 0 else { return }
    let connection = try connection(before: deadline)
    for piece in pieces(region, offset, target.count) {
      let part = unsafe UnsafeMutableRawBufferPointer(rebasing: target[piece.range])
      unsafe try connection.read(piece.access, into: part, before: deadline)
    }
  }

  /// Writes to a region (`VFIO_USER_REGION_WRITE`) and waits for the replies, in as many messages as needed.
  public func write(
    _ region: RegionIndex, at offset: UInt64, from bytes: [UInt8], timeout: Duration? = nil
  ) throws(ClientError) {
    try write(region, at: offset, from: bytes.span, timeout: timeout)
  }

  /// Writes to a region and waits for the replies.
  public func write(
    _ region: RegionIndex, at offset: UInt64, from bytes: Span<UInt8>, timeout: Duration? = nil
  ) throws(ClientError) {
    try write(region, at: offset, from: bytes, before: timeout.deadline)
  }

  func write(
    _ region: RegionIndex, at offset: UInt64, from bytes: Span<UInt8>, before deadline: Deadline?
  ) throws(ClientError) {
    let connection = try connection(before: deadline)
    for piece in pieces(region, offset, bytes.count) {
      try connection.write(
        piece.access, bytes.extracting(piece.range), before: deadline)
    }
  }

  /// Reads a number, little endian, in one access of its size.
  public func load<Number: FixedWidthInteger & BitwiseCopyable>(
    _ region: RegionIndex, at offset: UInt64, as type: Number.Type = Number.self,
    timeout: Duration? = nil
  ) throws(ClientError) -> Number {
    let access = RegionAccess(
      offset: offset, region: region, count: UInt32(MemoryLayout<Number>.size))
    var number = Number.zero
    let deadline = timeout.deadline
    let connection = try connection(before: deadline)
    // Sound: the number lives until the call has returned.
    try unsafe withUnsafeMutableBytes(of: &number) { (bytes) throws(ClientError) in
      unsafe try connection.read(access, into: bytes, before: deadline)
    }
    return Number(littleEndian: number)
  }

  /// Writes a number, little endian, in one access of its size, and waits for the reply.
  public func store<Number: FixedWidthInteger & BitwiseCopyable>(
    _ number: Number, _ region: RegionIndex, at offset: UInt64, timeout: Duration? = nil
  ) throws(ClientError) {
    let access = RegionAccess(
      offset: offset, region: region, count: UInt32(MemoryLayout<Number>.size))
    let deadline = timeout.deadline
    try connection(before: deadline).write(access, number, before: deadline)
  }

  /// The maximum size of one access: the server's limit and ``ClientOptions/maxAccess``.
  var maxAccess: Int {
    Int(max(1, min(negotiatedVersion.capabilities.effectiveMaxDataTransfer, options.maxAccess)))
  }

  /// The messages of an access; one for an empty access.
  func pieces(_ region: RegionIndex, _ offset: UInt64, _ count: Int) -> RegionPieces {
    RegionPieces(region: region, offset: offset, total: count, largest: maxAccess)
  }
}

/// An access of any size, split into accesses of one message each.
struct RegionPieces: RandomAccessCollection {
  let region: RegionIndex
  let offset: UInt64
  /// Size of the whole access in bytes.
  let total: Int
  let largest: Int

  /// One message, and the range of bytes that it transfers.
  struct Piece {
    let access: RegionAccess
    let range: Range<Int>
  }

  var startIndex: Int { 0 }
  /// An empty access is one message, so that the device checks it.
  var endIndex: Int { total > largest ? (total - 1) / largest + 1 : 1 }

  subscript(index: Int) -> Piece {
    let start = index * largest
    let range = start..<Swift.min(total, start + largest)
    let access = RegionAccess(
      offset: offset &+ UInt64(start), region: region, count: UInt32(range.count))
    return Piece(access: access, range: range)
  }
}
