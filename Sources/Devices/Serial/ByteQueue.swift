/// A bounded byte queue.
///
/// The caller enforces the bound by checking ``room``; the queue holds a few bytes more, so that a
/// reset can save the contents of a FIFO.
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
  /// Whether the slack above the bound is used up too.
  var isFull: Bool { count == storage.count }

  /// Appends a byte.
  ///
  /// - Precondition: the queue is not full, slack included.
  mutating func append(_ byte: UInt8) {
    precondition(count < storage.count, "a queue of \(storage.count) bytes is full")
    storage[(head + count) % storage.count] = byte
    count += 1
  }

  /// Inserts a byte at the front.
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

  /// All bytes, the oldest first.
  var bytes: [UInt8] { (0..<count).map { storage[(head + $0) % storage.count] } }

  /// Lends the oldest bytes, as many as are contiguous.
  func withFront<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    let end = min(head + count, storage.count)
    return unsafe storage.withUnsafeBytes {
      // Sound: `head..<end` is within the storage, and the pointer is used only during the call.
      unsafe body(UnsafeRawBufferPointer(rebasing: $0[head..<end]))
    }
  }
}
