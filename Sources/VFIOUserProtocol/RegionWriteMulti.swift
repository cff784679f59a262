/// Several small writes in one message (`VFIO_USER_REGION_WRITE_MULTI`; specification, "Single
/// Device Write Format"), read where they stand.
///
/// Holding one means that the payload is exactly as long as its count says and that no write in it
/// is longer than the eight bytes it has room for. Nothing is allocated.
public struct RegionWrites: ~Escapable {
  @usableFromInline static let fixedSize = 8

  @usableFromInline let payload: Span<UInt8>

  /// How many writes there are.
  public let count: Int

  /// Checks the payload.
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

  /// One of the writes.
  ///
  /// - Precondition: `index` is from 0 up to and without ``count``.
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

  /// The bytes of one of the writes, as many as its count says.
  ///
  /// - Precondition: `index` is from 0 up to and without ``count``.
  @inlinable
  @_lifetime(copy self)
  public func data(at index: Int) -> Span<UInt8> {
    precondition(index >= 0 && index < count, "write \(index) of \(count)")
    let place = Self.place(of: index)
    let length: UInt32 = payload.littleEndian(at: place + 12)
    return payload.extracting((place + 16)..<(place + 16 + Int(length)))
  }
}

/// One write among several.
public struct RegionWrite: Equatable, Sendable {
  /// Bytes on the wire.
  public static let wireSize = 24
  /// The most bytes that one write can have.
  public static let maxCount = 8

  /// Where in which region, and how many bytes.
  public let access: RegionAccess
  /// The bytes as a little endian number; what is beyond the count is zero.
  public let value: UInt64

  /// Describes a write of up to eight bytes.
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

/// Several small writes that are put together to be sent.
public struct RegionWriteMulti: WireMessage {
  /// The writes, in the order in which they are to happen.
  public var writes: [RegionWrite]

  /// Puts writes together.
  public init(writes: [RegionWrite]) {
    self.writes = writes
  }

  /// Copies the writes of a payload.
  ///
  /// A server that only carries them out uses ``RegionWrites``.
  public init(decoding bytes: Span<UInt8>) throws(WireError) {
    let view = try RegionWrites(decoding: bytes)
    writes = []
    writes.reserveCapacity(view.count)
    for index in 0..<view.count { writes.append(view.entry(at: index)) }
  }

  /// Bytes on the wire.
  public var wireSize: Int { RegionWrites.fixedSize + writes.count * RegionWrite.wireSize }

  /// Writes the count and the array behind it.
  @_lifetime(bytes: copy bytes)
  public func encode(into bytes: inout MutableRawSpan) {
    bytes.storeLittleEndian(UInt64(writes.count), at: 0)
    for (index, write) in writes.enumerated() {
      write.encode(into: &bytes, at: RegionWrites.place(of: index))
    }
  }
}

/// How many of several small writes were carried out.
public struct RegionWriteMultiReply: FixedSizeMessage, WireMessage {
  /// Bytes on the wire.
  public static let wireSize = 8

  /// Writes that happened, counted from the first.
  public var writeCount: UInt64

  /// Reports a number of writes.
  public init(writeCount: UInt64) { self.writeCount = writeCount }

  /// Reads the eight bytes; any other size is refused.
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
