/// What is wrong with the bytes of a message, as far as one can tell without knowing the connection.
///
/// A message that fails to decode is *bad*, the stream it came from is not: its length was known, so
/// the next message starts where it should.
public enum WireError: Error, Equatable, Sendable {
  /// The payload ends before the fixed part of the message, or before what a count in it promises.
  case truncated(needed: Int, had: Int)
  /// There are bytes behind the end of the message.
  case surplus(expected: Int, had: Int)
  /// `argsz` is smaller than the structure it has to hold.
  case argumentSizeTooSmall(needed: UInt32, had: UInt32)
  /// Bits are set that the specification does not define.
  case reservedBits(field: String, value: UInt64)
  /// A field that must be zero is not.
  case mustBeZero(field: String, value: UInt64)
  /// Of a group of flags exactly one must be set.
  case notExactlyOne(of: String, value: UInt32)
  /// A count is larger than anything a message can hold.
  case countTooLarge(field: String, value: UInt64, limit: UInt64)
  /// A field that has to be a power of two is not.
  case notAPowerOfTwo(field: String, value: UInt64)
  /// An offset or a chain inside the message leads outside of it, backwards, or in a circle.
  case brokenChain(offset: UInt32, within: Int)
  /// The JSON of a VERSION message is not what it must be; the text says which part and why.
  case malformedVersionData(String)
}

extension WireError: CustomStringConvertible {
  /// What is wrong, with both numbers.
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
