/// A piece of a scatter gather list (NVMe 1.4, section 4.4).
public struct SGLDescriptor: Equatable, Sendable {
  /// Bytes.
  public static let wireSize = 16

  /// What kind of piece: bits 7:4 of the last byte (figure 114).
  public struct Kind: RawRepresentable, Hashable, Sendable {
    /// The number.
    public let rawValue: UInt8
    /// Wraps any number, known or not.
    @inlinable
    public init(rawValue: UInt8) { self.rawValue = rawValue & 0xF }

    /// Data.
    public static let dataBlock = Kind(rawValue: 0)
    /// Data that nobody wants.
    public static let bitBucket = Kind(rawValue: 1)
    /// Where the list goes on.
    public static let segment = Kind(rawValue: 2)
    /// Where the list goes on for the last time.
    public static let lastSegment = Kind(rawValue: 3)
    /// Data with a key, for fabrics.
    public static let keyedDataBlock = Kind(rawValue: 4)
  }

  /// Where the piece is.
  public var address: UInt64
  /// Bytes 8 to 15: length, reserved, kind.
  public var second: UInt64

  /// Takes both halves as they are.
  @inlinable
  public init(address: UInt64, second: UInt64) {
    self.address = address
    self.second = second
  }

  /// Describes a piece.
  @inlinable
  public init(_ kind: Kind, address: UInt64, length: UInt32, subtype: UInt8 = 0) {
    self.address = address
    second = UInt64(length) | UInt64(kind.rawValue << 4 | subtype & 0xF) << 56
  }

  /// Reads the fields.
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

  /// Bytes.
  public var length: UInt32 { UInt32(truncatingIfNeeded: second) }
  /// What kind of piece.
  public var kind: Kind { Kind(rawValue: UInt8(truncatingIfNeeded: second >> 60)) }
  /// How to read the address; 0 is an address.
  public var subtype: UInt8 { UInt8(truncatingIfNeeded: second >> 56) & 0xF }
}
