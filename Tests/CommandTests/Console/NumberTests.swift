import Testing

@testable import vfio_user

@Suite struct `Sizes and numbers` {
  @Test(
    arguments: [
      ("0", 0), ("512", 512), ("4K", 4096), ("4k", 4096), ("1M", 1 << 20), ("10G", 10 << 30),
      ("2T", 2 << 40), ("16MiB", 16 << 20),
      ("8388607T", 8_388_607 << 40),
    ] as [(String, UInt64)])
  func `Sizes are parsed with their units`(text: String, bytes: UInt64) {
    #expect(ByteCount(argument: text)?.bytes == bytes)
  }

  @Test(arguments: ["", "K", "-1", "1.5G", "1P", "8388608T", "99999999999999999999", "1 K"])
  func `Sizes that are not valid are refused`(text: String) {
    #expect(ByteCount(argument: text) == nil)
  }

  @Test func `Numbers, fractions and times are formatted for people`() {
    #expect(grouped(0) == "0")
    #expect(grouped(999) == "999")
    #expect(grouped(1000) == "1,000")
    #expect(grouped(1_234_567) == "1,234,567")
    #expect(fixed(0.049, 1) == "0.0")
    #expect(fixed(12.345, 2) == "12.35" || fixed(12.345, 2) == "12.34")
    #expect(fixed(.infinity, 2) == "-")
    #expect(timeText(999) == "999 ns")
    #expect(timeText(1234) == "1.2 us")
    #expect(timeText(99_950_000) == "100.0 ms")
  }
}
