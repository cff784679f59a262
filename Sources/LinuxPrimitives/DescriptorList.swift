internal import CLinux

/// File descriptors in order, as one message brings them; closes those that are not taken.
public struct DescriptorList: ~Copyable, Sendable {
  /// Nil until the first descriptor: most messages have none, and then nothing is allocated.
  @usableFromInline var numbers: [Int32]?
  @usableFromInline var taken = 0
  /// Closes descriptors received from a peer; nil for our own.
  private var sender: PeerDescriptors?

  /// Creates an empty list without allocating.
  @inlinable public init() {}

  /// Takes ownership of descriptor numbers.
  public init(adopting numbers: [Int32]) { self.numbers = numbers }

  /// Takes ownership of descriptor numbers received from a peer.
  package init(adopting numbers: [Int32], from sender: PeerDescriptors) {
    self.numbers = numbers
    self.sender = sender
  }

  /// The number of descriptors not taken yet.
  @inlinable public var count: Int { numbers.map { $0.count - taken } ?? 0 }

  /// Whether no descriptor is left.
  @inlinable public var isEmpty: Bool { count == 0 }

  /// Removes and returns the first remaining descriptor.
  public mutating func takeFirst() -> OwnedDescriptor? {
    guard let numbers, taken < numbers.count else { return nil }
    defer { taken += 1 }
    return Self.own(numbers[taken], sender)
  }

  /// Appends a descriptor of our own.
  ///
  /// - Precondition: the list was not received from a peer.
  public mutating func append(_ descriptor: consuming OwnedDescriptor) {
    precondition(sender == nil, "a list of a peer's descriptors takes none of ours")
    numbers = (numbers.take() ?? []) + [descriptor.release()]
  }

  private static func own(_ number: Int32, _ sender: PeerDescriptors?) -> OwnedDescriptor {
    guard let sender else { return OwnedDescriptor(adopting: number) }
    return OwnedDescriptor(adopting: number, from: sender)
  }

  /// Lends the remaining descriptor numbers for the duration of the call.
  package borrowing func withNumbers<Result, Failure: Error>(
    _ body: ([Int32]) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try body(numbers.map { Array($0[taken...]) } ?? [])
  }

  @inlinable
  deinit {
    if let numbers { closeRemaining(numbers) }
  }

  @usableFromInline
  borrowing func closeRemaining(_ numbers: [Int32]) {
    for index in taken..<numbers.count { _ = Self.own(numbers[index], sender) }
  }
}
