import Testing

@testable import VFIOUserProgram

@Suite struct `A line of JSON` {
  private func accepts(_ text: String) -> Bool { JSONText.isAcceptable(Array(text.utf8)) }

  @Test(arguments: [("[", "]"), (#"{"a":"#, "}")])
  func `It may be 32 levels deep, and no deeper`(open: String, close: String) {
    for (depth, isAccepted) in [(31, true), (32, true), (33, false), (500, false)] {
      let text =
        String(repeating: open, count: depth) + "1" + String(repeating: close, count: depth)
      #expect(accepts(text) == isAccepted, "\(depth)")
    }
  }

  @Test func `Brackets in texts and next to each other are no levels`() {
    #expect(accepts("\"" + String(repeating: "[", count: 100) + "\""))
    #expect(accepts(#""\""# + String(repeating: "{", count: 100) + "\""))
    #expect(accepts("[" + String(repeating: "[],", count: 100) + "1]"))
    #expect(!accepts(#""\\""# + String(repeating: "[", count: 33)))
  }

  @Test func `NUL, other encodings and broken UTF-8 are refused`() {
    #expect(!accepts("\"a\0\""))
    #expect(!accepts(#""a\u0000""#))
    #expect(JSONText.isAcceptable(Array(#""a\u0000""#.utf8), isAnswer: true))
    #expect(accepts(#""a\\u0000""#))
    #expect(accepts(#""a\u0001\u00010000ü""#))
    #expect(!accepts("[1,]"))
    #expect(!JSONText.isAcceptable([0x22, 0xFF, 0x22]))
    #expect(!JSONText.isAcceptable([0xFF, 0xFE, 0x5B, 0x30]))
  }
}
