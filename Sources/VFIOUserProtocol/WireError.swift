/// Why the bytes of a message are invalid, independent of the state of the connection.
///
/// A message that fails to decode is *invalid*, but the stream is intact: the length of the message
/// was known, so the next one starts where expected.
@nonexhaustive
public enum WireError: Error, Equatable, Sendable {
  /// The payload ends before the fixed part, or before the end implied by a count in it.
  case truncated(needed: Int, had: Int)
  /// The message has surplus bytes at its end.
  case surplus(expected: Int, had: Int)
  /// `argsz` is smaller than the structure that contains it.
  case argumentSizeTooSmall(needed: UInt32, had: UInt32)
  /// Bits not defined by the specification are set.
  case reservedBits(field: String, value: UInt64)
  /// A field that must be zero is not.
  case mustBeZero(field: String, value: UInt64)
  /// A group of flags of which exactly one must be set has none or several.
  case notExactlyOne(of: String, value: UInt32)
  /// A count exceeds what a message can hold.
  case countTooLarge(field: String, value: UInt64, limit: UInt64)
  /// A field that must be a power of two is not.
  case notAPowerOfTwo(field: String, value: UInt64)
  /// The capability chain points outside the message, backwards, or in a circle.
  case brokenChain(offset: UInt32, within: Int)
  /// The JSON of a VERSION message is invalid; the text names the part and the reason.
  case malformedVersionData(String)
}

extension WireError: CustomStringConvertible {
  /// What is invalid, with both numbers.
  public var description: String {
    switch self {
    case .truncated(let needed, let had): "truncated: needs \(needed) bytes, has \(had)"
    case .surplus(let expected, let had): "too long: \(expected) bytes expected, has \(had)"
    case .argumentSizeTooSmall(let needed, let had): "argsz is \(had), needs \(needed)"
    case .reservedBits(let field, let value):
      "undefined bits 0x\(String(value, radix: 16)) in \(field)"
    case .mustBeZero(let field, let value):
      "\(field) must be zero, is 0x\(String(value, radix: 16))"
    case .notExactlyOne(let group, let value):
      "exactly one of \(group) must be set, flags are 0x\(String(value, radix: 16))"
    case .countTooLarge(let field, let value, let limit): "\(field) is \(value), at most \(limit)"
    case .notAPowerOfTwo(let field, let value): "\(field) is \(value), not a power of two"
    case .brokenChain(let offset, let size):
      "capability chain broken at offset \(offset) of \(size) bytes"
    case .malformedVersionData(let text): "version data: \(text)"
    }
  }
}
