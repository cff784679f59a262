/// A payload that can be encoded: everything after the header, without trailing bulk data.
public protocol WireEncodable {
  /// Number of bytes written by ``encode(into:)``.
  var wireSize: Int { get }

  /// Writes exactly ``wireSize`` bytes at the start of `bytes`.
  ///
  /// - Precondition: `bytes` holds at least ``wireSize`` bytes.
  @_lifetime(bytes: copy bytes)
  func encode(into bytes: inout MutableRawSpan)
}

/// A payload that can be decoded.
public protocol WireDecodable {
  /// Decodes the payload, checking each length before use.
  ///
  /// Only the syntax is validated: lengths, counts, reserved bits. Whether a region exists or an
  /// address is mapped is checked by client or server.
  init(decoding bytes: Span<UInt8>) throws(WireError)
}

/// A payload that can be encoded and decoded.
public typealias WireMessage = WireDecodable & WireEncodable & Equatable & Sendable

/// A payload whose fixed part has a constant size.
public protocol FixedSizeMessage: WireEncodable {
  /// Size on the wire in bytes, without bulk data.
  static var wireSize: Int { get }
}

extension FixedSizeMessage {
  /// Size on the wire in bytes, without bulk data.
  @inlinable
  public var wireSize: Int { Self.wireSize }
}

/// Size in bytes of a fixed part and `count` elements, clamped to `Int.max`.
@inlinable
func wireSize(_ fixed: Int, plus count: UInt64, of stride: UInt64 = 1) -> Int {
  let (elements, tooMany) = count.multipliedReportingOverflow(by: stride)
  let (total, tooLong) = elements.addingReportingOverflow(UInt64(fixed))
  return tooMany || tooLong ? .max : Int(clamping: total)
}

/// Throws if `argsz` is too small for the structure that contains it.
func requireArgumentSize(_ argumentSize: UInt32, atLeast needed: UInt32) throws(WireError) {
  guard argumentSize >= needed else {
    throw .argumentSizeTooSmall(needed: needed, had: argumentSize)
  }
}

/// Throws if bits not defined by the specification are set.
func refuseReserved(_ bits: UInt64, in field: String) throws(WireError) {
  guard bits == 0 else { throw .reservedBits(field: field, value: bits) }
}

/// Throws if a field that must be zero is not.
func requireZero(_ value: UInt64, in field: String) throws(WireError) {
  guard value == 0 else { throw .mustBeZero(field: field, value: value) }
}

extension Span<UInt8> {
  /// Throws if the payload is shorter than `needed` bytes.
  @inlinable
  func require(_ needed: Int) throws(WireError) {
    guard count >= needed else { throw .truncated(needed: needed, had: count) }
  }

  /// Throws if the payload is not exactly `size` bytes.
  @inlinable
  func requireExactly(_ size: Int) throws(WireError) {
    try require(size)
    guard count == size else { throw .surplus(expected: size, had: count) }
  }

  /// The bulk data after a fixed part; throws unless it is exactly `length` bytes.
  @inlinable
  @_lifetime(copy self)
  func bulk(behind fixed: Int, length: UInt64) throws(WireError) -> Span<UInt8> {
    try requireExactly(VFIOUserProtocol.wireSize(fixed, plus: length))
    return extracting(fixed..<count)
  }
}
