/// A range of blocks for Dataset Management (NVMe 1.4, figure 362).
public struct DatasetRange: Equatable, Sendable {
  /// Size of a range in the list in bytes.
  public static let wireSize = 16
  /// Maximum number of ranges in one command.
  public static let maxRanges = 256

  /// Context attributes: hints about the use of the blocks.
  public var attributes: UInt32
  /// Number of blocks.
  public var count: UInt32
  /// The first block.
  public var start: UInt64

  /// Creates a range.
  public init(start: UInt64, count: UInt32, attributes: UInt32 = 0) {
    self.start = start
    self.count = count
    self.attributes = attributes
  }

  /// Decodes the fields.
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

/// Attributes of Dataset Management (dword 11, NVMe 1.4, figure 361).
public struct DatasetAttributes: OptionSet, Sendable {
  /// The bits.
  public let rawValue: UInt32

  /// Wraps any bits.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// IDR: optimise for reading, as an integral dataset.
  public static let integralForRead = DatasetAttributes(rawValue: 1 << 0)
  /// IDW: optimise for writing, as an integral dataset.
  public static let integralForWrite = DatasetAttributes(rawValue: 1 << 1)
  /// AD: deallocate the blocks.
  public static let deallocate = DatasetAttributes(rawValue: 1 << 2)
}
