/// A payload that knows how to write itself: everything behind the header, without trailing bulk data.
public protocol WireEncodable {
  /// The bytes that ``encode(into:)`` writes.
  var wireSize: Int { get }

  /// Writes exactly ``wireSize`` bytes at the start of `bytes`.
  ///
  /// - Precondition: `bytes` holds at least ``wireSize`` bytes.
  @_lifetime(bytes: copy bytes)
  func encode(into bytes: inout MutableRawSpan)
}

/// A payload that can be read from the wire.
public protocol WireDecodable {
  /// Reads the payload, checking each length before it relies on it.
  ///
  /// Only syntax is checked: lengths, counts, reserved bits. Whether a region exists or an address is
  /// mapped is for the client or the server to say.
  init(decoding bytes: Span<UInt8>) throws(WireError)
}

/// A payload in both directions.
public typealias WireMessage = WireDecodable & WireEncodable & Equatable & Sendable

/// A payload whose fixed part always has the same size.
public protocol FixedSizeMessage: WireEncodable {
  /// Bytes on the wire, without bulk data behind them.
  static var wireSize: Int { get }
}

extension FixedSizeMessage {
  /// Bytes on the wire, without bulk data behind them.
  @inlinable
  public var wireSize: Int { Self.wireSize }
}

/// How many bytes a fixed part and `count` elements take; `Int.max` stands for more than can be.
@inlinable
func wireSize(_ fixed: Int, plus count: UInt64, of stride: UInt64 = 1) -> Int {
  let (elements, tooMany) = count.multipliedReportingOverflow(by: stride)
  let (total, tooLong) = elements.addingReportingOverflow(UInt64(fixed))
  return tooMany || tooLong ? .max : Int(clamping: total)
}

/// Refuses an `argsz` that cannot hold the structure it stands in.
func requireArgumentSize(_ argumentSize: UInt32, atLeast needed: UInt32) throws(WireError) {
  guard argumentSize >= needed else {
    throw .argumentSizeTooSmall(needed: needed, had: argumentSize)
  }
}

/// Refuses bits that the specification does not define.
func refuseReserved(_ bits: UInt64, in field: String) throws(WireError) {
  guard bits == 0 else { throw .reservedBits(field: field, value: bits) }
}

/// Refuses a value in a field that has to be zero.
func requireZero(_ value: UInt64, in field: String) throws(WireError) {
  guard value == 0 else { throw .mustBeZero(field: field, value: value) }
}

extension Span<UInt8> {
  /// Refuses a payload that is shorter than `needed`.
  @inlinable
  func require(_ needed: Int) throws(WireError) {
    guard count >= needed else { throw .truncated(needed: needed, had: count) }
  }

  /// Refuses a payload that is not exactly `size` long.
  @inlinable
  func requireExactly(_ size: Int) throws(WireError) {
    try require(size)
    guard count == size else { throw .surplus(expected: size, had: count) }
  }

  /// The bulk data behind a fixed part; it has to be exactly `length` bytes.
  @inlinable
  @_lifetime(copy self)
  func bulk(behind fixed: Int, length: UInt64) throws(WireError) -> Span<UInt8> {
    try requireExactly(VFIOUserProtocol.wireSize(fixed, plus: length))
    return extracting(fixed..<count)
  }
}
