public import Synchronization

/// A number that one thread at a time counts and others read: a plain load and a plain store, no locked instruction.
///
/// Of two threads that count at the same time one is lost; the owner sees to it that there is one, by a lock or by
/// design.
@frozen
public struct Count: ~Copyable, Sendable {
  @usableFromInline let value = Atomic<UInt64>(0)

  /// Creates a count of 0.
  @inlinable public init() {}

  /// Adds to the count.
  @inlinable public func add(_ more: UInt64 = 1) {
    value.store(value.load(ordering: .relaxed) &+ more, ordering: .relaxed)
  }

  /// The present count.
  @inlinable public var now: UInt64 { value.load(ordering: .relaxed) }
}
