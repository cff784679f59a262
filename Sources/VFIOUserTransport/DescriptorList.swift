internal import CLinux

/// The descriptors that came with one message, in order; those nobody takes are closed.
public struct DescriptorList: ~Copyable, Sendable {
  /// Nil while there never was one: most messages have none, and then nothing is counted or freed.
  private var numbers: [Int32]?
  private var taken = 0
  /// Who closes those of a peer; nil for our own.
  private var sender: PeerDescriptors?

  /// An empty list; allocates nothing.
  public init() {}

  /// Takes over numbers that nobody else will close.
  public init(adopting numbers: [Int32]) { self.numbers = numbers }

  /// Takes over numbers that came from a peer.
  package init(adopting numbers: [Int32], from sender: PeerDescriptors) {
    self.numbers = numbers
    self.sender = sender
  }

  /// How many are left.
  public var count: Int { numbers.map { $0.count - taken } ?? 0 }

  /// Whether none is left.
  public var isEmpty: Bool { count == 0 }

  /// Hands out the first of those that are left.
  public mutating func takeFirst() -> OwnedDescriptor? {
    guard let numbers, taken < numbers.count else { return nil }
    defer { taken += 1 }
    return Self.own(numbers[taken], sender)
  }

  /// Adds one of our own at the end.
  ///
  /// - Precondition: the list did not come from a peer.
  public mutating func append(_ descriptor: consuming OwnedDescriptor) {
    precondition(sender == nil, "a list of a peer's descriptors takes none of ours")
    numbers = (numbers.take() ?? []) + [descriptor.release()]
  }

  private static func own(_ number: Int32, _ sender: PeerDescriptors?) -> OwnedDescriptor {
    guard let sender else { return OwnedDescriptor(adopting: number) }
    return OwnedDescriptor(adopting: number, from: sender)
  }

  /// The numbers, lent for the length of the call.
  package borrowing func withNumbers<Result, Failure: Error>(
    _ body: ([Int32]) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try body(numbers.map { Array($0[taken...]) } ?? [])
  }

  deinit {
    guard let numbers else { return }
    for index in taken..<numbers.count { _ = Self.own(numbers[index], sender) }
  }
}
