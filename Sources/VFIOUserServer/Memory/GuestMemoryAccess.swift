internal import LinuxPrimitives

/// Access to the memory of one client, from any thread, until that client goes or the device is reset.
///
/// Ranges may cross windows, and each window's permissions hold. Where windows have no descriptor,
/// the bytes travel in messages, which have to be waited for: not on the thread of a callback, there
/// that fails at once with ``MemoryError/wouldDeadlock``. The natural place is
/// ``DeviceContext/afterReply(_:)``.
public struct GuestMemoryAccess: Sendable {
  let memory: GuestMemory
  let generation: UInt64

  /// Which way the bytes go, seen from the device.
  public enum Direction: Sendable {
    /// Out of the client's memory.
    case reading
    /// Into the client's memory.
    case writing

    var flag: DMAMapFlags { self == .reading ? .readable : .writable }
  }

  /// Whether the client is still there and has allowed DMA, and the device was not reset since.
  public var isAlive: Bool {
    memory.state.withLock { $0.generation == generation && $0.isDMAAllowed }
  }

  /// Whether the client is still there, and the device was not reset since.
  var isCurrent: Bool { memory.isCurrent(generation) }

  /// Does something for work that this access belongs to, unless the device was reset or the client has
  /// gone since.
  ///
  /// This is where work shows its result: in registers, by an interrupt. A reset and the end of the client
  /// wait for it, so that nothing of it comes later.
  ///
  /// - Parameter body: must not wait, and must not call this.
  /// - Returns: whether it was done.
  @discardableResult
  public func ifCurrent(_ body: () -> Void) -> Bool { memory.ifCurrent(generation, body) }

  /// Whether the client is not about to change its memory, as far as can be told.
  ///
  /// Else an access may meet a hole that closes in a moment; any thread waits for that, but for the one that
  /// receives from the client, for which the hole is one.
  public var isSettled: Bool {
    memory.state.withLock { state in
      state.generation == generation && state.isDMAAllowed && state.removalObserver == nil
        && Deadline(instant: state.holesMayCloseUntil).hasPassed
    }
  }

  /// Copies out of the client's memory until `bytes` is full.
  public func read(at address: UInt64, into bytes: inout MutableRawSpan) throws(MemoryError) {
    try unsafe bytes.withUnsafeMutableBytes { (buffer) throws(MemoryError) in
      try unsafe copy(at: address, buffer, .reading)
    }
  }

  /// A copy of `count` bytes.
  ///
  /// - Precondition: the device knows that it wants to hold that much; a guest's number has to be
  ///   compared with a limit first.
  public func read(at address: UInt64, count: Int) throws(MemoryError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    var span = bytes.mutableSpan
    var raw = unsafe span.mutableBytes
    try read(at: address, into: &raw)
    return bytes
  }

  /// Copies into the client's memory.
  public func write(at address: UInt64, from bytes: RawSpan) throws(MemoryError) {
    try unsafe bytes.withUnsafeBytes { (buffer) throws(MemoryError) in
      // Sound: with `.writing`, the buffer is only read.
      try unsafe copy(at: address, UnsafeMutableRawBufferPointer(mutating: buffer), .writing)
    }
  }

  /// Copies into the client's memory.
  public func write(at address: UInt64, from bytes: [UInt8]) throws(MemoryError) {
    try write(at: address, from: unsafe bytes.span.bytes)
  }

  /// Moves bytes between our memory and the client's, window by window.
  @unsafe
  func copy(
    at address: UInt64, _ bytes: UnsafeMutableRawBufferPointer, _ direction: Direction
  ) throws(MemoryError) {
    let total = bytes.count
    guard total > 0 else { return }
    guard !address.addingReportingOverflow(UInt64(total) - 1).overflow else {
      throw .wraps(at: address, count: UInt64(total))
    }
    var done = 0
    while done < total {
      let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[done...])
      done += try unsafe copyPiece(at: address + UInt64(done), rest, direction)
    }
  }

  /// Moves what lies in one window.
  @unsafe
  private func copyPiece(
    at address: UInt64, _ bytes: UnsafeMutableRawBufferPointer, _ direction: Direction
  ) throws(MemoryError) -> Int {
    switch try memory.route(to: address, direction.flag, generation) {
    case .mapped(let window, let mapping, let observer):
      defer { memory.unpin(window) }
      let count = Int(clamping: min(UInt64(bytes.count), window.rest(from: address)))
      let piece = unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[..<count])
      let offset = address - window.address
      switch direction {
      case .reading:
        guard unsafe mapping.read(offset, into: piece) else { throw .truncated(at: address) }
      case .writing:
        // A write that faults half way has changed the first half.
        defer { observer?(address, UInt64(count)) }
        guard unsafe mapping.write(offset, from: UnsafeRawBufferPointer(piece)) else {
          throw .truncated(at: address)
        }
      }
      return count
    case .messages(let channel, let rest):
      guard !memory.isOnReceivingThread else { throw .wouldDeadlock }
      // One round at a time, so that a window that goes away, or a client, is noticed in between.
      let count = Int(clamping: min(UInt64(bytes.count), rest, UInt64(channel.maxBytesInFlight)))
      let piece = unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[..<count])
      try unsafe channel.transfer(direction, at: address, piece)
      return count
    }
  }
}
