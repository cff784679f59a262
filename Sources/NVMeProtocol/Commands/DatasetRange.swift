/// A range of blocks that Dataset Management is about (NVMe 1.4, figure 362).
public struct DatasetRange: Equatable, Sendable {
  /// Bytes of one range in the list.
  public static let wireSize = 16
  /// Most ranges of one command.
  public static let maxRanges = 256

  /// Hints about how the blocks are used.
  public var attributes: UInt32
  /// Blocks.
  public var count: UInt32
  /// The first block.
  public var start: UInt64

  /// Names a range.
  public init(start: UInt64, count: UInt32, attributes: UInt32 = 0) {
    self.start = start
    self.count = count
    self.attributes = attributes
  }

  /// Reads the fields.
  public init(decoding bytes: Span<UInt8>) throws(NVMeWireError) {
    try bytes.need(Self.wireSize)
    attributes = bytes.number(at: 0)
    count = bytes.number(at: 4)
    start = bytes.number(at: 8)
  }

  /// Writes the 16 bytes at the start of `bytes`.
  @_lifetime(bytes: copy bytes)
  public func encode(into bytes: inout MutableRawSpan) {
    bytes.put(attributes, at: 0)
    bytes.put(count, at: 4)
    bytes.put(start, at: 8)
  }
}

/// What Dataset Management is told about its ranges (dword 11, NVMe 1.4, figure 361).
public struct DatasetAttributes: OptionSet, Sendable {
  /// The bits.
  public let rawValue: UInt32

  /// Wraps any bits.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// IDR: optimise for reading.
  public static let integralForRead = DatasetAttributes(rawValue: 1 << 0)
  /// IDW: optimise for writing.
  public static let integralForWrite = DatasetAttributes(rawValue: 1 << 1)
  /// AD: the blocks are no longer needed.
  public static let deallocate = DatasetAttributes(rawValue: 1 << 2)
}
