import Testing
import VFIOUserProtocol

@Suite struct `Descriptions of wire errors` {
  @Test(
    arguments: [
      (WireError.truncated(needed: 16, had: 4), "truncated: needs 16 bytes, has 4"),
      (.surplus(expected: 16, had: 17), "too long: 16 bytes expected, has 17"),
      (.argumentSizeTooSmall(needed: 32, had: 0), "argsz is 0, needs 32"),
      (.reservedBits(field: "flags", value: 0x30), "undefined bits 0x30 in flags"),
      (.mustBeZero(field: "count", value: 18), "count must be zero, is 0x12"),
      (
        .notExactlyOne(of: "GET, SET", value: 3),
        "exactly one of GET, SET must be set, flags are 0x3"
      ),
      (.countTooLarge(field: "count", value: 9, limit: 8), "count is 9, at most 8"),
      (.notAPowerOfTwo(field: "page_size", value: 3), "page_size is 3, not a power of two"),
      (
        .brokenChain(offset: 8, within: 40), "capability chain broken at offset 8 of 40 bytes"
      ),
      (.malformedVersionData("not UTF-8"), "version data: not UTF-8"),
    ] as [(WireError, String)])
  func `The description of a wire error names the expected and the actual value`(
    error: WireError, text: String
  ) {
    #expect("\(error)" == text)
  }
}
