import Testing

@testable import NVMeDevice

@Suite struct `The progress of a completion queue` {
  private var totals = QueueTotals(entries: 4)

  private mutating func take(upTo head: UInt32) {
    let isBelieved = totals.take(upTo: head)
    #expect(isBelieved)
  }

  private mutating func post(_ count: Int) { for _ in 0..<count { totals.post() } }

  @Test mutating func `A host that took more than was announced never seems to be behind`() {
    post(1)
    totals.signal()
    #expect(totals.hasUntaken)
    for head: UInt32 in 1...12 {
      take(upTo: head % 4)
      #expect(!totals.hasUntaken, "\(head)")
      post(1)
      #expect(!totals.hasUntaken, "\(head)")
    }
    totals.signal()
    #expect(totals.hasUntaken)
  }

  @Test
  mutating func `A completion queue is full with one free entry, and empty when all are taken`() {
    #expect(totals.isEmpty && !totals.isFull)
    post(2)
    #expect(!totals.isFull)
    post(1)
    #expect(totals.isFull && totals.tail == 3)
    take(upTo: 3)
    #expect(totals.isEmpty && totals.head == 3)
    post(3)
    #expect(totals.isFull && totals.tail == 2)
  }

  @Test(arguments: [4, 5, UInt32.max, 3, 0])
  mutating func `A head beyond the posted entries changes nothing`(head: UInt32) {
    post(3)
    take(upTo: 1)
    // Two are left: 1 to 3 can be said, and 0 would be a place further.
    let isBelieved = totals.take(upTo: head)
    #expect(isBelieved == (head == 3))
    #expect(totals.taken == (head == 3 ? 3 : 1))
  }

  @Test mutating func `Of two totals of a queue the further head counts, within what was posted`() {
    post(3)
    var other = totals
    _ = other.take(upTo: 2)
    totals.follow(other)
    #expect(totals.taken == 2 && totals.head == 2)
    var further = totals
    _ = further.take(upTo: 3)
    further.follow(other)
    #expect(further.taken == 3 && further.head == 3)
    other.follow(QueueTotals(entries: 4))
    #expect(other.posted == 0 && other.taken == 0)
    other.follow(QueueTotals(entries: 8))
    #expect(other.entries == 8)
  }
}
