internal import NVMeProtocol
internal import VFIOUserServer

/// A command in flight; used again and again, so that nothing is allocated for a command.
final class CommandSlot {
  /// What is left to do when a request of the command comes back.
  enum Work {
    /// Nothing: the command is done.
    case once
    /// The data that was read has to be the same as the guest's.
    case compare
    /// Blocks from `next` to `end` still have to be read, for Verify.
    case verify(next: UInt64, end: UInt64)
    /// Ranges from `next` on still have to be deallocated.
    case deallocate(next: Int)
    /// Namespaces from `next` on still have to be flushed.
    case flush(next: Int)
    /// Namespaces from `next` on still have to be flushed before the write cache is off.
    case cacheOff(next: Int)
    /// The namespaces to format, from `next` on, as `format`.
    case format(next: Int, format: UInt8)
    /// The size of blocks is being written down, before the namespace `next` is formatted.
    case keepFormat(next: Int, format: UInt8)
    /// A feature is being written down; `before` was what was saved, `result` is what the command says.
    case keepFeature(Feature, before: UInt32?, result: UInt32)
    /// No request: the command waits for an event, or for a queue to empty.
    case waiting
  }

  let request: StorageRequest
  var entry = SubmissionEntry(opcode: 0)
  /// Nil while the slot is free.
  var queue: SubmissionQueue?
  var namespace: Namespace?
  var work = Work.once
  /// What Dataset Management is to deallocate.
  var datasets: [DatasetRange] = []
  /// Whether the engine has the request.
  var isSubmitted = false

  init(request: StorageRequest) { self.request = request }
}
