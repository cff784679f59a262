internal import LinuxPrimitives

/// Access to the memory of one client, from any thread, until that client disconnects or the device is reset.
///
/// A range may span several DMA windows, each with its own permissions. Memory without a descriptor is
/// accessed by messages, whose replies have to be waited for. In a callback such an access fails with
/// ``MemoryError/wouldDeadlock``; use ``DeviceContext/afterReply(_:)`` for it.
public struct GuestMemoryAccess: Sendable {
  let memory: GuestMemory
  let generation: UInt64

  /// The direction of an access, as seen by the device.
  public enum Direction: Sendable {
    /// From the client's memory.
    case reading
    /// To the client's memory.
    case writing

    var flag: DMAMapFlags { self == .reading ? .readable : .writable }
  }

  /// Whether the client is still connected and has allowed DMA, and the device was not reset since.
  public var isAlive: Bool {
    memory.state.withLock { $0.generation == generation && $0.isDMAAllowed }
  }

  /// Whether the client is still connected, and the device was not reset since.
  var isCurrent: Bool { memory.isCurrent(generation) }

  /// Runs a closure, unless the device was reset or the client has disconnected since this access was made.
  ///
  /// Work shows its result here: in registers, or by an interrupt. A reset and the end of the client wait for
  /// the closure, so nothing of it happens after them.
  ///
  /// - Parameter body: must not wait, and must not call this method.
  /// - Returns: whether the closure was run.
  @discardableResult
  public func ifCurrent(_ body: () -> Void) -> Bool { memory.ifCurrent(generation, body) }

  /// Whether no change of the client's DMA windows is in progress, as far as the server knows.
  ///
  /// While one is in progress, an access may meet a hole that closes soon. Other threads wait for that; on
  /// the thread that receives the client's messages the access fails at once.
  public var isSettled: Bool {
    memory.state.withLock { state in
      state.generation == generation && state.isDMAAllowed && state.removalObserver == nil
        && Deadline(instant: state.holesMayCloseUntil).hasPassed
    }
  }

  /// Copies from the client's memory until `bytes` is full.
  public func read(at address: UInt64, into bytes: inout MutableRawSpan) throws(MemoryError) {
    try unsafe bytes.withUnsafeMutableBytes { (buffer) throws(MemoryError) in
      try unsafe copy(at: address, buffer, .reading)
    }
  }

  /// Returns a copy of `count` bytes.
  ///
  /// - Precondition: `count` is limited by the device; a number of the guest has to be checked first.
  public func read(at address: UInt64, count: Int) throws(MemoryError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    var span = bytes.mutableSpan
    var raw = unsafe span.mutableBytes
    try read(at: address, into: &raw)
    return bytes
  }

  /// Copies to the client's memory.
  public func write(at address: UInt64, from bytes: RawSpan) throws(MemoryError) {
    try unsafe bytes.withUnsafeBytes { (buffer) throws(MemoryError) in
      // Sound: with `.writing`, the buffer is only read.
      try unsafe copy(at: address, UnsafeMutableRawBufferPointer(mutating: buffer), .writing)
    }
  }

  /// Copies to the client's memory.
  public func write(at address: UInt64, from bytes: [UInt8]) throws(MemoryError) {
    try write(at: address, from: unsafe bytes.span.bytes)
  }

  /// Copies bytes between this process's memory and the client's, window by window.
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

  /// Copies the part that lies in one window.
  @unsafe
  private func copyPiece(
    at address: UInt64, _ bytes: UnsafeMutableRawBufferPointer, _ direction: Direction
  ) throws(MemoryError) -> Int {
    switch try memory.route(to: address, direction.flag, generation) {
    case .mapped(let window, let mapping):
      defer { memory.unpin(window) }
      let count = Int(clamping: min(UInt64(bytes.count), window.rest(from: address)))
      let piece = unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[..<count])
      let offset = address - window.address
      switch direction {
      case .reading:
        guard unsafe mapping.read(offset, into: piece) else { throw .truncated(at: address) }
      case .writing:
        // A write that fails half way has changed the first half.
        defer { memory.noteWrite(address, UInt64(count)) }
        guard unsafe mapping.write(offset, from: UnsafeRawBufferPointer(piece)) else {
          throw .truncated(at: address)
        }
      }
      return count
    case .messages(let channel, let rest):
      guard !memory.isOnReceivingThread else { throw .wouldDeadlock }
      // One round at a time, so that the end of a window or of the client is noticed between rounds.
      let count = Int(clamping: min(UInt64(bytes.count), rest, UInt64(channel.maxBytesInFlight)))
      let piece = unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[..<count])
      try unsafe channel.transfer(direction, at: address, piece)
      return count
    }
  }
}
