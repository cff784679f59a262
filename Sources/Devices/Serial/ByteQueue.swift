/// Bytes on their way, up to a bound.
///
/// The bound is the caller's to keep, through ``room``; a little more than that fits, so that a reset
/// can save what a FIFO held.
struct ByteQueue: ~Copyable, Sendable {
  static let slack = UART16550.fifoDepth

  let capacity: Int
  private var storage: [UInt8]
  private var head = 0
  private(set) var count = 0

  init(capacity: Int) {
    self.capacity = capacity
    storage = Array(repeating: 0, count: capacity + Self.slack)
  }

  var isEmpty: Bool { count == 0 }
  var room: Int { max(0, capacity - count) }
  /// Whether there is no room and the slack is used up too.
  var isFull: Bool { count == storage.count }

  /// - Precondition: no more than the bound and the slack are in the queue.
  mutating func append(_ byte: UInt8) {
    precondition(count < storage.count, "a queue of \(storage.count) bytes is full")
    storage[(head + count) % storage.count] = byte
    count += 1
  }

  /// Puts a byte before all others.
  mutating func prepend(_ byte: UInt8) {
    precondition(count < storage.count, "a queue of \(storage.count) bytes is full")
    head = (head + storage.count - 1) % storage.count
    storage[head] = byte
    count += 1
  }

  mutating func popFirst() -> UInt8? {
    guard count > 0 else { return nil }
    let byte = storage[head]
    removeFirst(1)
    return byte
  }

  mutating func removeFirst(_ number: Int) {
    precondition(number <= count, "\(number) bytes to remove, \(count) there")
    head = (head + number) % storage.count
    count -= number
  }

  mutating func removeAll() { removeFirst(count) }

  /// Shows the oldest bytes, as many as lie together.
  func withFront<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    let end = min(head + count, storage.count)
    return unsafe storage.withUnsafeBytes {
      // Sound: `head..<end` lies within the storage, and the pointer is used during the call only.
      unsafe body(UnsafeRawBufferPointer(rebasing: $0[head..<end]))
    }
  }
}
