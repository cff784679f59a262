internal import VFIOUserServer

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
    let outline = JSONOutline(of: line)
    // The parser accepts a trailing comma, RFC 8259 does not.
    return outline.nesting <= maxDepth && !outline.hasTrailingComma && (isAnswer || !outline.hasNUL)
  }
}
