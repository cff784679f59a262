import Testing

@testable import NVMeDevice

@Suite struct `Interrupt coalescing as the host sets it` {
  @Test(arguments: [0, 0xFF, 7])
  func `A host that names no time gets every interrupt`(value: UInt32) {
    #expect(InterruptCoalescing(feature: value) == nil)
  }

  @Test func `The threshold is zero-based, and the time counts 100 microseconds`() throws {
    let coalescing = try #require(InterruptCoalescing(feature: 0x0203))
    #expect(coalescing.entries == 4 && coalescing.time == 200_000)
  }

  @Test func `An interrupt is due after so many completions or so much time`() throws {
    let coalescing = try #require(InterruptCoalescing(feature: 0x0203))
    #expect(!coalescing.isDue(3, since: 1_000, at: 200_999))
    #expect(coalescing.isDue(4, since: 1_000, at: 1_000))
    #expect(coalescing.isDue(1, since: 1_000, at: 201_000))
  }
}
