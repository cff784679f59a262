import NVMeDriver

/// Our disk as an engine for workloads.
final class DiskEngine: BlockEngine {
  let depth: Int
  private let disk: Disk
  private let buffers: [DataBuffer]
  private var slots: [Int]

  /// Creates an engine.
  ///
  /// - Precondition: `transfer` is a multiple of the block size and within the namespace's limit
  ///   for one command.
  init(_ disk: Disk, depth: Int, transfer: Int) throws(NVMeDriverError) {
    self.disk = disk
    self.depth = min(depth, disk.queue.entries - 1)
    var buffers: [DataBuffer] = []
    for _ in 0..<self.depth {
      buffers.append(try DataBuffer(transfer, in: disk.controller.arena))
    }
    self.buffers = buffers
    slots = Array(repeating: 0, count: disk.queue.entries)
  }

  /// Frees the memory; no operation may be in flight.
  func release() {
    for buffer in buffers { disk.controller.arena.free(buffer) }
  }

  func start(_ slot: Int, isRead: Bool, at offset: UInt64, count: Int) throws {
    let namespace = disk.namespace
    let block = offset / UInt64(namespace.blockSize)
    let blocks = count / namespace.blockSize
    var entry: SubmissionEntry =
      isRead
      ? .read(namespace.id, from: block, blocks: blocks)
      : .write(namespace.id, to: block, blocks: blocks)
    entry.point(to: buffers[slot], count: count)
    slots[Int(try disk.queue.submit(entry))] = slot
  }

  func kick() throws { try disk.queue.ring() }

  func wait(_ ended: (_ slot: Int, _ failure: String?) -> Void) throws {
    let count = try disk.queue.wait(for: .seconds(1)) { answer in
      ended(
        slots[Int(answer.commandID)],
        answer.status.isSuccess ? nil : "the controller says \"\(answer.status)\"")
    }
    guard count == 0 else { return }
    let status = try disk.controller.status
    if status.isFatal { throw NVMeDriverError.fatal(status) }
  }

  func flush() throws {
    try disk.controller.perform(.flush(disk.namespace.id), on: disk.queue)
  }

  func fill(_ slot: Int, _ bytes: Span<UInt8>) { buffers[slot].data.write(from: bytes) }

  func read(_ slot: Int, into bytes: inout MutableRawSpan) {
    buffers[slot].data.read(into: &bytes)
  }
}
