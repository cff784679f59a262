import Testing

@testable import NVMeDevice

@Suite struct `Stripes of blocks` {
  private let stripe: UInt64 = 128 << 10

  @Test func `Several may read the same blocks, and one may write them`() {
    let stripes = BlockStripes()
    #expect(stripes.begin(0, 4096, changes: false) && stripes.begin(0, 4096, changes: false))
    #expect(!stripes.begin(0, 4096, changes: true))
    stripes.end(0, 4096, changes: false)
    #expect(!stripes.begin(0, 4096, changes: true))
    stripes.end(0, 4096, changes: false)
    #expect(stripes.begin(0, 4096, changes: true))
    #expect(!stripes.begin(0, 4096, changes: false) && !stripes.begin(0, 4096, changes: true))
    stripes.end(0, 4096, changes: true)
    // A refused reader has left nothing.
    #expect(stripes.begin(0, 4096, changes: true))
  }

  @Test(arguments: [true, false])
  func `A range across two stripes has both or none`(changes: Bool) {
    let stripes = BlockStripes()
    let start = stripe - 512
    #expect(stripes.begin(stripe, 512, changes: true))
    #expect(!stripes.begin(start, stripe, changes: changes))
    // Not the first either.
    #expect(stripes.begin(0, 512, changes: true))
    stripes.end(0, 512, changes: true)
    stripes.end(stripe, 512, changes: true)
    #expect(stripes.begin(start, stripe, changes: true))
    for offset in [0, start, stripe, 2 * stripe - 1024] {
      #expect(!stripes.begin(offset, 512, changes: false))
    }
    #expect(stripes.begin(2 * stripe, 512, changes: true))
    stripes.end(start, stripe, changes: true)
    #expect(stripes.begin(0, 512, changes: true) && stripes.begin(stripe, 512, changes: true))
  }
}
