internal import CLinux

/// The descriptors that came with one message, in order; those nobody takes are closed.
public struct DescriptorList: ~Copyable, Sendable {
  private var numbers: [Int32]
  private var taken = 0

  /// An empty list; allocates nothing.
  public init() { numbers = [] }

  /// Takes over numbers that nobody else will close.
  public init(adopting numbers: [Int32]) { self.numbers = numbers }

  /// How many are left.
  public var count: Int { numbers.count - taken }

  /// Whether none is left.
  public var isEmpty: Bool { count == 0 }

  /// Hands out the first of those that are left.
  public mutating func takeFirst() -> OwnedDescriptor? {
    guard taken < numbers.count else { return nil }
    defer { taken += 1 }
    return OwnedDescriptor(adopting: numbers[taken])
  }

  /// Adds one at the end.
  public mutating func append(_ descriptor: consuming OwnedDescriptor) {
    numbers.append(descriptor.release())
  }

  /// The numbers, lent for the length of the call.
  package borrowing func withNumbers<Result, Failure: Error>(
    _ body: ([Int32]) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try body(Array(numbers[taken...]))
  }

  deinit {
    for index in taken..<numbers.count { _ = OwnedDescriptor(adopting: numbers[index]) }
  }
}
