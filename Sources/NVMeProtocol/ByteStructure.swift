/// A structure of fixed size that is kept as its bytes, and whose fields are read and written in place.
///
/// What has no field here, reserved or newer, travels unharmed.
public protocol ByteStructure: Equatable, Sendable {
  /// Bytes on the wire.
  static var wireSize: Int { get }
  /// All of them; always ``wireSize``.
  var bytes: [UInt8] { get set }
  /// All zeros.
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

  /// The number at an offset of the specification's figure.
  func number<Number: FixedWidthInteger & BitwiseCopyable>(
    at offset: Int, as type: Number.Type = Number.self
  ) -> Number {
    bytes.span.number(at: offset)
  }

  /// Writes a number at an offset of the specification's figure.
  mutating func put<Number: FixedWidthInteger>(_ number: Number, at offset: Int) {
    var rest = number
    for index in 0..<MemoryLayout<Number>.size {
      bytes[offset + index] = UInt8(truncatingIfNeeded: rest)
      rest >>= 8
    }
  }

  /// A string in ASCII, without the padding behind it.
  func text(at range: Range<Int>, padding: UInt8 = 0x20) -> String {
    var end = range.upperBound
    while end > range.lowerBound, bytes[end - 1] == padding || bytes[end - 1] == 0 { end -= 1 }
    return String(decoding: bytes[range.lowerBound..<end], as: UTF8.self)
  }

  /// Writes a string, cut and padded to the range; what is not printable ASCII becomes a question mark.
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
