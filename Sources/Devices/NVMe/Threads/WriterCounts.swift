internal import Synchronization

/// Counts that each have a cache line of their own, so that threads which count do not wait for each other's processor.
@safe
struct WriterCounts: ~Copyable, @unchecked Sendable {
  /// Numbers from one count to the next: two lines of 64 bytes, which processors fetch together.
  private static let stride = 16

  let count: Int
  // Sound: `stride * count` numbers, initialised for the life of this value, and only used atomically.
  private let numbers: UnsafeMutablePointer<Atomic<Int>>

  init(_ count: Int) {
    precondition(count > 0, "nobody counts")
    self.count = count
    unsafe numbers = .allocate(capacity: Self.stride * count)
    for index in 0..<Self.stride * count { unsafe (numbers + index).initialize(to: Atomic(0)) }
  }

  deinit {
    unsafe numbers.deinitialize(count: Self.stride * count)
    unsafe numbers.deallocate()
  }

  /// One of the counts.
  subscript(_ index: Int) -> Atomic<Int> {
    _read {
      precondition(index >= 0 && index < count, "no such count")
      yield unsafe numbers[Self.stride * index]
    }
  }

  /// Whether all are, one after the other.
  var areZero: Bool {
    for index in 0..<count where self[index].load(ordering: .sequentiallyConsistent) != 0 {
      return false
    }
    return true
  }
}
