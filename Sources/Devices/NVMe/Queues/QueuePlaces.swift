/// The places of a submission queue, which go up to its length and around.
struct QueuePlaces {
  /// How many there are.
  let entries: UInt32

  func next(after place: UInt32) -> UInt32 { place + 1 == entries ? 0 : place + 1 }

  /// Entries from one place up to another.
  func count(from head: UInt32, to tail: UInt32) -> UInt32 {
    tail >= head ? tail - head : tail &+ entries &- head
  }
}
