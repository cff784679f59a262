/// A view of several small writes in one message (`VFIO_USER_REGION_WRITE_MULTI`), read in place.
///
/// See the specification, "Single Device Write Format". An instance guarantees that the length of
/// the payload matches its count and that no write is longer than its eight bytes of data. Nothing
/// is allocated.
public struct RegionWrites: ~Escapable {
  @usableFromInline static let fixedSize = 8

  @usableFromInline let payload: Span<UInt8>

  /// Number of writes.
  public let count: Int

  /// Validates the payload.
  @_lifetime(copy payload)
  public init(decoding payload: Span<UInt8>) throws(WireError) {
    try payload.require(Self.fixedSize)
    let declared: UInt64 = payload.littleEndian(at: 0)
    try payload.requireExactly(
      wireSize(Self.fixedSize, plus: declared, of: UInt64(RegionWrite.wireSize)))
    self.payload = payload
    count = (payload.count - Self.fixedSize) / RegionWrite.wireSize
    for index in 0..<count {
      let length: UInt32 = payload.littleEndian(at: Self.place(of: index) + 12)
      guard length <= RegionWrite.maxCount else {
        throw .countTooLarge(
          field: "count of write \(index)", value: UInt64(length),
          limit: UInt64(RegionWrite.maxCount))
      }
    }
  }

  @inlinable
  static func place(of index: Int) -> Int { fixedSize + index * RegionWrite.wireSize }

  /// Returns one of the writes.
  ///
  /// - Precondition: `index` is in `0..<count`.
  @inlinable
  public func entry(at index: Int) -> RegionWrite {
    precondition(index >= 0 && index < count, "write \(index) of \(count)")
    let place = Self.place(of: index)
    return RegionWrite(
      offset: payload.littleEndian(at: place),
      region: RegionIndex(rawValue: payload.littleEndian(at: place + 8)),
      count: payload.littleEndian(at: place + 12),
      value: payload.littleEndian(at: place + 16))
  }

  /// The data of one of the writes.
  ///
  /// - Precondition: `index` is in `0..<count`.
  @inlinable
  @_lifetime(copy self)
  public func data(at index: Int) -> Span<UInt8> {
    precondition(index >= 0 && index < count, "write \(index) of \(count)")
    let place = Self.place(of: index)
    let length: UInt32 = payload.littleEndian(at: place + 12)
    return payload.extracting((place + 16)..<(place + 16 + Int(length)))
  }
}

/// One write of a REGION_WRITE_MULTI.
public struct RegionWrite: Equatable, Sendable {
  /// Size on the wire in bytes.
  public static let wireSize = 24
  /// Maximum size of one write in bytes.
  public static let maxCount = 8

  /// Region, offset and size of the write.
  public let access: RegionAccess
  /// The data as a little-endian number; the bytes beyond the size are zero.
  public let value: UInt64

  /// Creates a write of up to eight bytes.
  ///
  /// - Precondition: `count` is at most ``maxCount``.
  @inlinable
  public init(offset: UInt64, region: RegionIndex, count: UInt32, value: UInt64) {
    precondition(count <= Self.maxCount, "\(count) bytes do not fit in a coalesced write")
    access = RegionAccess(offset: offset, region: region, count: count)
    self.value = count == 8 ? value : value & ((1 << (UInt64(count) * 8)) - 1)
  }

  @_lifetime(bytes: copy bytes)
  fileprivate func encode(into bytes: inout MutableRawSpan, at start: Int) {
    bytes.storeLittleEndian(access.offset, at: start)
    bytes.storeLittleEndian(access.region.rawValue, at: start + 8)
    bytes.storeLittleEndian(access.count, at: start + 12)
    bytes.storeLittleEndian(value, at: start + 16)
  }
}

/// Several small writes to be sent in one message.
public struct RegionWriteMulti: WireMessage {
  /// The writes, in the order of execution.
  public var writes: [RegionWrite]

  /// Creates a message from writes.
  public init(writes: [RegionWrite]) {
    self.writes = writes
  }

  /// Decodes a payload by copying its writes.
  ///
  /// A server that only executes them uses ``RegionWrites``.
  public init(decoding bytes: Span<UInt8>) throws(WireError) {
    let view = try RegionWrites(decoding: bytes)
    writes = []
    writes.reserveCapacity(view.count)
    for index in 0..<view.count { writes.append(view.entry(at: index)) }
  }

  /// Size on the wire in bytes.
  public var wireSize: Int { RegionWrites.fixedSize + writes.count * RegionWrite.wireSize }

  /// Writes the count, followed by the array.
  @_lifetime(bytes: copy bytes)
  public func encode(into bytes: inout MutableRawSpan) {
    bytes.storeLittleEndian(UInt64(writes.count), at: 0)
    for (index, write) in writes.enumerated() {
      write.encode(into: &bytes, at: RegionWrites.place(of: index))
    }
  }
}

/// The number of writes of a REGION_WRITE_MULTI that were executed.
public struct RegionWriteMultiReply: FixedSizeMessage, WireMessage {
  /// Size on the wire in bytes.
  public static let wireSize = 8

  /// Number of executed writes, counted from the first.
  public var writeCount: UInt64

  /// Creates a reply.
  public init(writeCount: UInt64) { self.writeCount = writeCount }

  /// Decodes the eight bytes; throws on any other size.
  public init(decoding bytes: Span<UInt8>) throws(WireError) {
    try bytes.requireExactly(Self.wireSize)
    writeCount = bytes.littleEndian(at: 0)
  }

  /// Writes the eight bytes at the start of `bytes`.
  @_lifetime(bytes: copy bytes)
  public func encode(into bytes: inout MutableRawSpan) {
    bytes.storeLittleEndian(writeCount, at: 0)
  }
}
