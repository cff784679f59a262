/// A descriptor of a scatter gather list (NVMe 1.4, section 4.4).
public struct SGLDescriptor: Equatable, Sendable {
  /// Size in bytes.
  public static let wireSize = 16

  /// The descriptor type: bits 7:4 of the last byte (figure 114).
  public struct Kind: RawRepresentable, Hashable, Sendable {
    /// The value.
    public let rawValue: UInt8
    /// Wraps any number, known or not.
    @inlinable
    public init(rawValue: UInt8) { self.rawValue = rawValue & 0xF }

    /// SGL Data Block: the location of data.
    public static let dataBlock = Kind(rawValue: 0)
    /// SGL Bit Bucket: data to be discarded.
    public static let bitBucket = Kind(rawValue: 1)
    /// SGL Segment: the location of the next segment.
    public static let segment = Kind(rawValue: 2)
    /// SGL Last Segment: the location of the last segment.
    public static let lastSegment = Kind(rawValue: 3)
    /// Keyed SGL Data Block, for NVMe over Fabrics.
    public static let keyedDataBlock = Kind(rawValue: 4)
  }

  /// Address of the data or segment.
  public var address: UInt64
  /// Bytes 8 to 15: length, reserved bits, type and subtype.
  public var second: UInt64

  /// Creates a descriptor from its two halves.
  @inlinable
  public init(address: UInt64, second: UInt64) {
    self.address = address
    self.second = second
  }

  /// Creates a descriptor.
  @inlinable
  public init(_ kind: Kind, address: UInt64, length: UInt32, subtype: UInt8 = 0) {
    self.address = address
    second = UInt64(length) | UInt64(kind.rawValue << 4 | subtype & 0xF) << 56
  }

  /// Decodes the fields.
  public init(decoding bytes: Span<UInt8>) throws(NVMeWireError) {
    try bytes.need(Self.wireSize)
    address = bytes.number(at: 0)
    second = bytes.number(at: 8)
  }

  /// Writes the 16 bytes at the start of `bytes`.
  @_lifetime(bytes: copy bytes)
  public func encode(into bytes: inout MutableRawSpan) {
    bytes.put(address, at: 0)
    bytes.put(second, at: 8)
  }

  /// Length in bytes.
  public var length: UInt32 { UInt32(truncatingIfNeeded: second) }
  /// The descriptor type.
  public var kind: Kind { Kind(rawValue: UInt8(truncatingIfNeeded: second >> 60)) }
  /// The subtype; 0 means that the address is an address and not an offset.
  public var subtype: UInt8 { UInt8(truncatingIfNeeded: second >> 56) & 0xF }
}
