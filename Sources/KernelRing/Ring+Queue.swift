internal import CLinux
package import Glibc
internal import Synchronization
package import SystemPackage

extension Ring {
  /// Maximum number of slices in one operation (`IOV_MAX`).
  package static let maxSlices = 1024

  /// Queues a `preadv`.
  ///
  /// - Parameters:
  ///   - file: must stay open until the operation has been submitted.
  ///   - slices: the destination of the data. The array must stay valid until the operation has
  ///     been submitted,
  ///     the memory until its completion has been reaped.
  ///   - offset: offset in the file, in bytes.
  ///   - id: returned with the completion.
  /// - Throws: ``RingError/full(limit:)``, ``RingError/tooManySlices(_:limit:)``,
  ///   ``RingError/outOfRange(offset:length:)``.
  @unsafe
  package func read(
    _ file: FileDescriptor, into slices: UnsafeBufferPointer<iovec>, at offset: UInt64, id: UInt64
  ) throws(RingError) {
    try unsafe check(slices, offset)
    try note(
      unsafe clinux_ring_readv(
        ring, id, file.rawValue, slices.baseAddress, UInt32(slices.count), offset))
  }

  /// Queues a `pwritev`; parameters and errors are those of ``read(_:into:at:id:)``.
  ///
  /// - Parameter isDurable: whether the data must be on stable storage on completion (`RWF_DSYNC`).
  @unsafe
  package func write(
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
  /// It covers the writes that had completed when it was submitted, but not those still in flight.
  package func sync(
    _ file: FileDescriptor, dataOnly: Bool = true, id: UInt64
  ) throws(RingError) {
    try checkRoom()
    try note(unsafe clinux_ring_sync(ring, id, file.rawValue, dataOnly ? 1 : 0))
  }

  /// How a range is made to read as zeros.
  package enum Clearing: Sendable {
    /// Deallocate the blocks (`FALLOC_FL_PUNCH_HOLE`).
    case hole
    /// Keep the blocks allocated (`FALLOC_FL_ZERO_RANGE`).
    case zeros
  }

  /// Queues a `fallocate` that makes a range read as zeros; the file keeps its size.
  ///
  /// - Parameters:
  ///   - file: a regular file or a block device.
  ///   - offset: in bytes.
  ///   - length: in bytes, not zero.
  ///   - clearing: whether the blocks are deallocated.
  ///   - id: returned with the completion.
  /// - Throws: ``RingError/outOfRange(offset:length:)`` if the range is empty or cannot exist in a
  ///   file.
  package func clear(
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

  /// Queues a no-op, to wake a thread that waits for completions.
  package func nothing(id: UInt64) throws(RingError) {
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
    // Fewer than the completion queue holds, so that completions never overflow in the kernel.
    guard inFlight < capacity else { throw .full(limit: capacity) }
  }

  private func note(_ result: Int32) throws(RingError) {
    guard result == 0 else { throw .full(limit: capacity) }
    underWay.add(1, ordering: .releasing)
  }
}
