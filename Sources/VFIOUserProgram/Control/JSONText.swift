/// What a line must be before it is parsed as JSON.
enum JSONText {
  /// How deep lists and objects may be in each other: the parser calls itself for each level, and threads have small
  /// stacks.
  static let maxDepth = 32

  /// Whether a line is UTF-8 without NUL and not nested too deeply.
  ///
  /// In another encoding, which the parser would accept, brackets are not found here. A text with NUL would be another
  /// one for the kernel, for which it ends there.
  ///
  /// - Parameter isAnswer: whether texts are for people only, and may have an escaped NUL.
  static func isAcceptable(_ line: [UInt8], isAnswer: Bool = false) -> Bool {
    guard String(validating: line, as: UTF8.self) != nil, !line.contains(0) else { return false }
    var (depth, isInText, isEscaped) = (0, false, false)
    for (place, byte) in line.enumerated() {
      switch byte {
      case _ where isEscaped:
        isEscaped = false
        if !isAnswer, line[place...].starts(with: "u0000".utf8) { return false }
      case UInt8(ascii: "\\"): isEscaped = isInText
      case UInt8(ascii: "\""): isInText.toggle()
      case _ where isInText: continue
      default: depth += step(byte)
      }
      guard depth <= maxDepth else { return false }
    }
    return true
  }

  private static func step(_ byte: UInt8) -> Int {
    switch byte {
    case UInt8(ascii: "["), UInt8(ascii: "{"): 1
    case UInt8(ascii: "]"), UInt8(ascii: "}"): -1
    default: 0
    }
  }
}
