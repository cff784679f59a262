/// A structure of fixed size stored as bytes, whose fields are read and written in place.
///
/// Bytes without a property here, reserved or defined by a later version, are kept.
public protocol ByteStructure: Equatable, Sendable {
  /// Size on the wire in bytes.
  static var wireSize: Int { get }
  /// The bytes of the structure; always ``wireSize``.
  var bytes: [UInt8] { get set }
  /// Creates a structure with all bytes zero.
  init()
}

extension ByteStructure {
  /// Copies the structure from the start of `bytes`.
  public init(decoding bytes: Span<UInt8>) throws(NVMeWireError) {
    try bytes.need(Self.wireSize)
    self.init()
    for index in 0..<Self.wireSize { self.bytes[index] = bytes[index] }
  }

  /// Writes ``wireSize`` bytes at the start of `bytes`.
  @_lifetime(bytes: copy bytes)
  public func encode(into bytes: inout MutableRawSpan) {
    for index in self.bytes.indices {
      bytes.storeBytes(of: self.bytes[index], toByteOffset: index, as: UInt8.self)
    }
  }

  /// Loads the number at an offset given in the specification.
  func number<Number: FixedWidthInteger & BitwiseCopyable>(
    at offset: Int, as type: Number.Type = Number.self
  ) -> Number {
    bytes.span.number(at: offset)
  }

  /// Stores a number at an offset given in the specification.
  mutating func put<Number: FixedWidthInteger>(_ number: Number, at offset: Int) {
    var rest = number
    for index in 0..<MemoryLayout<Number>.size {
      bytes[offset + index] = UInt8(truncatingIfNeeded: rest)
      rest >>= 8
    }
  }

  /// An ASCII string without trailing padding.
  func text(at range: Range<Int>, padding: UInt8 = 0x20) -> String {
    var end = range.upperBound
    while end > range.lowerBound, bytes[end - 1] == padding || bytes[end - 1] == 0 { end -= 1 }
    return String(decoding: bytes[range.lowerBound..<end], as: UTF8.self)
  }

  /// Stores a string, truncated or padded to the range; characters outside printable ASCII become
  /// `?`.
  mutating func putText(_ text: String, at range: Range<Int>, padding: UInt8 = 0x20) {
    var place = range.lowerBound
    for unit in text.unicodeScalars where place < range.upperBound {
      let printable = unit.value >= 0x20 && unit.value < 0x7F
      bytes[place] = printable ? UInt8(unit.value) : UInt8(ascii: "?")
      place += 1
    }
    while place < range.upperBound {
      bytes[place] = padding
      place += 1
    }
  }
}
