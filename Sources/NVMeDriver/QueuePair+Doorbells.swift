extension QueuePair {
  /// One of the two doorbells of a queue pair.
  public enum Doorbell: Sendable {
    /// The submission queue tail doorbell.
    case submission
    /// The completion queue head doorbell.
    case completion
  }

  /// Writes any value to a doorbell, without waiting for the device.
  public func writeDoorbell(_ doorbell: Doorbell, _ value: UInt32) throws(NVMeDriverError) {
    try doorbells.write(value, doorbell, id)
  }
}

/// How the doorbells of a controller are written: by messages, in its memory, or in ours.
struct DoorbellWriter {
  var client: Client
  let stride: UInt8
  /// The registers, where the doorbells among them are mapped.
  var mapped: MappedRegion?
  /// The shadow doorbells, if enabled.
  var shadow: ShadowDoorbells?

  /// Tells the controller how far a queue has moved, if it has to be told.
  func ring(
    _ doorbell: QueuePair.Doorbell, _ queue: UInt16, from old: Int, to new: Int
  ) throws(NVMeDriverError) {
    if let shadow, !shadow.mustRing(doorbell, queue, from: old, to: new) { return }
    try write(UInt32(new), doorbell, queue)
  }

  /// Writes a register.
  func write(
    _ value: UInt32, _ doorbell: QueuePair.Doorbell, _ queue: UInt16
  ) throws(NVMeDriverError) {
    let offset =
      doorbell == .submission
      ? RegisterOffset.submissionTail(queue, stride: stride)
      : RegisterOffset.completionHead(queue, stride: stride)
    try throughClient { () throws(ClientError) in
      if let mapped {
        try mapped.store(word: value, at: offset)
      } else {
        try client.post(value, .bar0, at: offset)
      }
    }
  }
}

/// Shadow doorbells in memory (NVMe 1.4, section 7.13).
///
/// The controller reads the doorbells from memory while it is busy, and stores event indices up to
/// which it needs no register write, so that most doorbell writes can be omitted.
final class ShadowDoorbells {
  let doorbells: DMABuffer
  let eventIndices: DMABuffer
  private let stride: UInt8

  init(_ arena: DMAArena, stride: UInt8) throws(NVMeDriverError) {
    doorbells = try arena.allocate(DMAArena.pageSize)
    eventIndices = try arena.allocate(DMAArena.pageSize)
    self.stride = stride
  }

  /// Stores a doorbell value in memory.
  ///
  /// - Returns: whether the doorbell register has to be written too.
  func mustRing(_ doorbell: QueuePair.Doorbell, _ queue: UInt16, from old: Int, to new: Int) -> Bool
  {
    // The admin queue has no shadow doorbells.
    guard queue > 0 else { return true }
    let register =
      doorbell == .submission
      ? RegisterOffset.submissionTail(queue, stride: stride)
      : RegisterOffset.completionHead(queue, stride: stride)
    let place = register - RegisterOffset.doorbells
    doorbells.home.note(doorbells.offset + place, 4)
    doorbells.memory.store(UInt32(new), at: doorbells.offset + place)
    // The store must be visible before the event index is read: the controller does the opposite.
    SharedMemory.fullBarrier()
    let event: UInt32 = eventIndices.memory.load(at: eventIndices.offset + place)
    let (new, old) = (UInt16(truncatingIfNeeded: new), UInt16(truncatingIfNeeded: old))
    return new &- UInt16(truncatingIfNeeded: event) &- 1 < new &- old
  }
}
