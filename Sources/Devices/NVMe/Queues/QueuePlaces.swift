/// The places of a queue, which go up to its length and around.
struct QueuePlaces {
  /// How many there are.
  let entries: UInt32

  func next(after place: UInt32) -> UInt32 { place + 1 == entries ? 0 : place + 1 }

  /// Entries from one place up to another.
  func count(from head: UInt32, to tail: UInt32) -> UInt32 {
    tail >= head ? tail - head : tail &+ entries &- head
  }

  /// Whether a host that has got to `head` has left some of what was told when the tail was `told`.
  ///
  /// It may have taken more than that: an entry is seen before it is told of.
  func isBehind(_ head: UInt32, told: UInt32, tail: UInt32) -> Bool {
    head != told && count(from: head, to: told) <= count(from: head, to: tail)
  }
}
