internal import CLinux
public import Glibc
internal import Synchronization
public import SystemPackage

extension Ring {
  /// Most slices of one operation (`IOV_MAX`).
  public static let maxSlices = 1024

  /// Queues a `preadv`.
  ///
  /// - Parameters:
  ///   - file: stays open at least until the operation was submitted.
  ///   - slices: where the data goes. The array must stay until the operation was submitted, the memory
  ///     until its completion was taken.
  ///   - offset: where in the file, in bytes.
  ///   - id: comes back with the completion.
  /// - Throws: ``RingError/full(limit:)``, ``RingError/tooManySlices(_:limit:)``,
  ///   ``RingError/outOfRange(offset:length:)``.
  @unsafe
  public func read(
    _ file: FileDescriptor, into slices: UnsafeBufferPointer<iovec>, at offset: UInt64, id: UInt64
  ) throws(RingError) {
    try unsafe check(slices, offset)
    try note(
      unsafe clinux_ring_readv(
        ring, id, file.rawValue, slices.baseAddress, UInt32(slices.count), offset))
  }

  /// Queues a `pwritev`; the same holds as for ``read(_:into:at:id:)``.
  ///
  /// - Parameter isDurable: whether the data has to be on the disk when it completes (`RWF_DSYNC`).
  @unsafe
  public func write(
    _ file: FileDescriptor, from slices: UnsafeBufferPointer<iovec>, at offset: UInt64, id: UInt64,
    isDurable: Bool = false
  ) throws(RingError) {
    try unsafe check(slices, offset)
    try note(
      unsafe clinux_ring_writev(
        ring, id, file.rawValue, slices.baseAddress, UInt32(slices.count), offset,
        isDurable ? 1 : 0))
  }

  /// Queues an `fdatasync`, or an `fsync`.
  ///
  /// It covers the writes whose completions were there when it was submitted, and says nothing of those
  /// still under way.
  public func sync(
    _ file: FileDescriptor, dataOnly: Bool = true, id: UInt64
  ) throws(RingError) {
    try checkRoom()
    try note(unsafe clinux_ring_sync(ring, id, file.rawValue, dataOnly ? 1 : 0))
  }

  /// How a range is made to read as zeros.
  public enum Clearing: Sendable {
    /// Its blocks are given back to the file system (`FALLOC_FL_PUNCH_HOLE`).
    case hole
    /// Its blocks stay allocated (`FALLOC_FL_ZERO_RANGE`).
    case zeros
  }

  /// Queues a `fallocate` that makes a range read as zeros; the file keeps its size.
  ///
  /// - Parameters:
  ///   - file: a regular file or a block device.
  ///   - offset: in bytes.
  ///   - length: in bytes, not zero.
  ///   - clearing: what becomes of the blocks.
  ///   - id: comes back with the completion.
  /// - Throws: ``RingError/outOfRange(offset:length:)`` for an empty range or one that no file can have.
  public func clear(
    _ file: FileDescriptor, at offset: UInt64, length: UInt64, _ clearing: Clearing, id: UInt64
  ) throws(RingError) {
    let (end, wraps) = offset.addingReportingOverflow(length)
    guard length > 0, !wraps, end <= Int64.max else {
      throw .outOfRange(offset: offset, length: length)
    }
    try checkRoom()
    try note(
      unsafe clinux_ring_clear(
        ring, id, file.rawValue, offset, length, clearing == .zeros ? 1 : 0))
  }

  /// Queues an operation that does nothing, to wake whoever waits for completions.
  public func nothing(id: UInt64) throws(RingError) {
    try checkRoom()
    try note(unsafe clinux_ring_nop(ring, id))
  }

  private func check(_ slices: UnsafeBufferPointer<iovec>, _ offset: UInt64) throws(RingError) {
    try checkRoom()
    let count = slices.count
    guard count <= Self.maxSlices else { throw .tooManySlices(count, limit: Self.maxSlices) }
    guard offset <= Int64.max else { throw .outOfRange(offset: offset, length: 0) }
  }

  private func checkRoom() throws(RingError) {
    // Fewer than the queue of completions holds, so that none ever waits inside of the kernel.
    guard inFlight < capacity else { throw .full(limit: capacity) }
  }

  private func note(_ result: Int32) throws(RingError) {
    guard result == 0 else { throw .full(limit: capacity) }
    underWay.add(1, ordering: .releasing)
  }
}
