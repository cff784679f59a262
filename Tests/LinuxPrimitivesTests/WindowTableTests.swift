import TestSupport
import Testing
import LinuxPrimitives

private final class Span: AddressWindow {
  let address: UInt64
  let last: UInt64

  init(_ address: UInt64, through last: UInt64) {
    self.address = address
    self.last = last
  }
}

@Suite struct `A table of DMA windows` {
  @Test func `A table of DMA windows agrees with a plain list through 20,000 changes`() {
    var random = SplitMix64(seed: 7)
    var table = WindowTable<Span>()
    var list: [Span] = []
    for _ in 0..<20_000 {
      let address = random.next() % 4096 * 16
      let window = Span(address, through: address + random.next() % 40)
      if random.next() % 3 > 0 {
        let isFree = !list.contains { $0.address <= window.last && window.address <= $0.last }
        #expect(table.overlaps(window.address, through: window.last) == !isFree)
        #expect(table.insert(window) == isFree)
        if isFree { list.append(window) }
      } else if let place = list.indices.randomElement(using: &random) {
        let gone = list.remove(at: place)
        table.remove(gone)
        table.remove(gone)
        #expect(table.window(gone.address, through: gone.last) == nil)
      }
      let held = list.first { $0.address <= address && address <= $0.last }
      #expect(table.window(holding: address) === held)
      #expect(table.count == list.count)
    }
    #expect(table.all.map(\.address) == list.map(\.address).sorted())
    table.removeAll()
    #expect(table.count == 0 && table.all.isEmpty)
  }

  @Test func `A table of DMA windows covers the first and the last address`() {
    var table = WindowTable<Span>()
    let (first, last) = (Span(0, through: 0), Span(.max, through: .max))
    let taken = [table.insert(last), table.insert(first), table.insert(Span(0, through: .max))]
    #expect(taken == [true, true, false])
    #expect(table.window(holding: .max) === last)
    #expect(table.window(holding: 0) === first)
    #expect(table.window(holding: 1) == nil)
    #expect(table.window(0, through: 1) == nil)
  }
}
