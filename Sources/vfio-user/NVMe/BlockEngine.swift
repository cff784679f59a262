/// Reads and writes blocks with several operations in flight: on our disk, or on a file of the
/// host.
///
/// Operations are started in slots, each with its own memory, and complete in any order.
protocol BlockEngine: AnyObject {
  /// Number of slots.
  var depth: Int { get }

  /// Starts an operation; it may not be submitted before ``kick()``.
  func start(_ slot: Int, isRead: Bool, at offset: UInt64, count: Int) throws
  /// Submits all started operations.
  func kick() throws
  /// Waits until at least one operation has completed, or for a limited time.
  ///
  /// - Parameter ended: called with the slot and the reason of a failure.
  func wait(_ ended: (_ slot: Int, _ failure: String?) -> Void) throws
  /// Makes all completed writes durable.
  func flush() throws

  /// Copies data into a slot's memory.
  func fill(_ slot: Int, _ bytes: Span<UInt8>)
  /// Copies data out of a slot's memory.
  func read(_ slot: Int, into bytes: inout MutableRawSpan)
}
