import Glibc
import LinuxPrimitives
import NVMeDriver

/// Our disk as an engine for workloads.
final class DiskEngine: BlockEngine {
  let depth: Int
  private let disk: Disk
  private let buffers: [DataBuffer]
  /// By queue, and by the identifier of the command.
  private var slots: [[Int]]

  /// Creates an engine.
  ///
  /// - Parameter depth: operations in flight in each queue.
  /// - Precondition: `transfer` is a multiple of the block size and within the namespace's limit
  ///   for one command.
  init(_ disk: Disk, depth: Int, transfer: Int) throws(NVMeDriverError) {
    self.disk = disk
    self.depth = min(depth, disk.queue.entries - 1) * disk.queues.count
    var buffers: [DataBuffer] = []
    for _ in 0..<self.depth {
      buffers.append(try DataBuffer(transfer, in: disk.controller.arena))
    }
    self.buffers = buffers
    slots = disk.queues.map { Array(repeating: 0, count: $0.entries) }
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
    let queue = slot % disk.queues.count
    slots[queue][Int(try disk.queues[queue].submit(entry))] = slot
  }

  func kick() throws { for queue in disk.queues { try queue.ring() } }

  func wait(_ ended: (_ slot: Int, _ failure: String?) -> Void) throws {
    guard disk.queues.count == 1 else { return try waitForAny(ended) }
    let count = try disk.queue.wait(for: .seconds(1)) { end($0, of: 0, ended) }
    if count == 0 { try checkController() }
  }

  /// Takes what is there in any of several queues, which are polled.
  private func waitForAny(_ ended: (_ slot: Int, _ failure: String?) -> Void) throws {
    let deadline = Deadline.after(.seconds(1))
    while !deadline.hasPassed {
      var count = 0
      for place in disk.queues.indices {
        count += try disk.queues[place].poll { end($0, of: place, ended) }
      }
      guard count == 0 else { return }
      // The disk's threads may need this processor.
      sched_yield()
    }
    try checkController()
  }

  private func end(
    _ answer: CompletionEntry, of queue: Int, _ ended: (_ slot: Int, _ failure: String?) -> Void
  ) {
    ended(
      slots[queue][Int(answer.commandID)],
      answer.status.isSuccess ? nil : "the controller says \"\(answer.status)\"")
  }

  private func checkController() throws {
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
