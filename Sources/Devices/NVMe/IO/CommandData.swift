internal import NVMeProtocol

/// Moves queue entries, lists and small data between guest memory and the controller.
///
/// Belongs to the thread that has the controller's turn.
final class CommandData {
  private let lifeCycle: LifeCycle
  /// A page for queue entries and lists.
  private let scratch: PageBuffer
  /// The entries that were fetched last.
  private var fetched: [SubmissionEntry] = []
  /// For commands that need memory of ours.
  var buffers = CommandBuffers()

  init(_ lifeCycle: LifeCycle) throws {
    self.lifeCycle = lifeCycle
    scratch = try PageBuffer(size: 4096)
  }

  /// Reads consecutive entries of a submission queue.
  ///
  /// Commands use the scratch page too, so the entries are copied out first.
  func fetch(_ count: Int, at address: UInt64) throws(MemoryError) -> [SubmissionEntry] {
    try scratch.fill(count * SubmissionEntry.wireSize, from: address, by: lifeCycle.memory)
    scratch.withBytes(count * SubmissionEntry.wireSize) { bytes in
      fetched.removeAll(keepingCapacity: true)
      for index in 0..<count {
        let start = index * SubmissionEntry.wireSize
        let one = bytes.extracting(start..<start + SubmissionEntry.wireSize)
        fetched.append((try? SubmissionEntry(decoding: one)) ?? SubmissionEntry(opcode: 0xFF))
      }
    }
    return fetched
  }

  private var pointer: DataPointer {
    DataPointer(access: lifeCycle.memory, pageSize: lifeCycle.pageSize, scratch: scratch)
  }

  /// Finds out where a command's data is.
  func resolve(_ slot: CommandSlot, count: UInt64) throws(CommandError) {
    try pointer.resolve(slot.entry, count: count, into: &slot.request.ranges)
  }

  /// Reads guest memory into the buffer that one function at a time may use.
  func gather(_ ranges: [GuestRange]) throws(CommandError) -> PageBuffer {
    let buffer = try buffers.shared()
    do throws(MemoryError) {
      try buffer.gather(from: ranges, by: lifeCycle.memory)
    } catch {
      throw lifeCycle.dataError(error)
    }
    return buffer
  }

  /// Writes bytes to the host: what does not fit into `count` is cut off.
  func give(
    _ bytes: [UInt8], count: UInt64, to entry: SubmissionEntry
  ) throws(CommandError) {
    var ranges: [GuestRange] = []
    try pointer.resolvePages(entry, count, &ranges)
    var place = 0
    do throws(MemoryError) {
      for range in ranges {
        let piece = min(Int(clamping: range.count), bytes.count - place)
        guard piece > 0 else { return }
        try lifeCycle.memory.write(
          at: range.address, from: unsafe bytes.span.extracting(place..<place + piece).bytes)
        place += piece
      }
    } catch {
      throw lifeCycle.dataError(error)
    }
  }

  /// Reads `count` bytes from the host.
  func take(_ count: Int, from entry: SubmissionEntry) throws(CommandError) -> [UInt8] {
    var ranges: [GuestRange] = []
    try pointer.resolvePages(entry, UInt64(count), &ranges)
    var bytes: [UInt8] = []
    do throws(MemoryError) {
      for range in ranges {
        bytes += try lifeCycle.memory.read(at: range.address, count: Int(clamping: range.count))
      }
    } catch {
      throw lifeCycle.dataError(error)
    }
    return bytes
  }
}
