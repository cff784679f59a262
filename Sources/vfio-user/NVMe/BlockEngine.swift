/// Something that reads and writes blocks, several at a time: our disk, or a file of the host.
///
/// Operations are started in slots, each with memory of its own, and end in any order.
protocol BlockEngine: AnyObject {
  /// Slots.
  var depth: Int { get }

  /// Begins an operation; it may wait for ``kick()``.
  func start(_ slot: Int, isRead: Bool, at offset: UInt64, count: Int) throws
  /// Begins everything that was started.
  func kick() throws
  /// Waits until at least one operation has ended, or a while has passed.
  ///
  /// - Parameter ended: gets the slot, and why it failed.
  func wait(_ ended: (_ slot: Int, _ failure: String?) -> Void) throws
  /// Has everything that was written reach the disk.
  func flush() throws

  /// Copies into a slot's memory.
  func fill(_ slot: Int, _ bytes: Span<UInt8>)
  /// Copies out of a slot's memory.
  func read(_ slot: Int, into bytes: inout MutableRawSpan)
}
