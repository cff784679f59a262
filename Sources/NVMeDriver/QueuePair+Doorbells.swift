internal import Glibc
internal import NVMeProtocol
internal import VFIOUserClient
internal import VFIOUserProtocol
internal import VFIOUserTransport

extension QueuePair {
  /// Which of the two doorbells.
  public enum Doorbell: Sendable {
    /// The tail of the submission queue.
    case submission
    /// The head of the completion queue.
    case completion
  }

  /// Writes any number to a doorbell, without waiting for the device.
  public func writeDoorbell(_ doorbell: Doorbell, _ value: UInt32) throws(NVMeDriverError) {
    let offset =
      doorbell == .submission
      ? RegisterOffset.submissionTail(id, stride: stride)
      : RegisterOffset.completionHead(id, stride: stride)
    try throughClient { () throws(ClientError) in try client.post(value, .bar0, at: offset) }
  }

  /// Waits a little, or for the interrupt.
  func pause(until deadline: Deadline) {
    guard let interrupt else {
      sched_yield()
      return
    }
    _ = interrupt.wait(for: .nanoseconds(min(max(0, deadline.remaining), 1_000_000_000)))
  }
}

/// Doorbells in memory (NVMe 1.4, section 7.13): the controller looks there while it is busy, and says up
/// to where it has looked, so that most writes to its registers can be left out.
final class ShadowDoorbells {
  let doorbells: DMABuffer
  let eventIndices: DMABuffer
  private let stride: UInt8

  init(_ arena: DMAArena, stride: UInt8) throws(NVMeDriverError) {
    doorbells = try arena.allocate(DMAArena.pageSize)
    eventIndices = try arena.allocate(DMAArena.pageSize)
    self.stride = stride
  }

  /// Stores a doorbell.
  ///
  /// - Returns: whether the controller has to be told.
  func mustRing(_ doorbell: QueuePair.Doorbell, _ queue: UInt16, from old: Int, to new: Int) -> Bool
  {
    // The admin queue has no shadow.
    guard queue > 0 else { return true }
    let register =
      doorbell == .submission
      ? RegisterOffset.submissionTail(queue, stride: stride)
      : RegisterOffset.completionHead(queue, stride: stride)
    let place = register - RegisterOffset.doorbells
    doorbells.memory.store(UInt32(new), at: doorbells.offset + place)
    // The store has to be out before the event index is read: the controller does it the other way round.
    SharedMemory.fullBarrier()
    let event: UInt32 = eventIndices.memory.load(at: eventIndices.offset + place)
    let (new, old) = (UInt16(truncatingIfNeeded: new), UInt16(truncatingIfNeeded: old))
    return new &- UInt16(truncatingIfNeeded: event) &- 1 < new &- old
  }
}
