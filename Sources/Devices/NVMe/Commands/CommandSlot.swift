internal import NVMeProtocol

/// A command in flight; reused, so that no command allocates memory.
final class CommandSlot {
  /// What follows when a request of the command comes back.
  enum Work {
    /// Nothing: the command is done.
    case once
    /// Earlier writes are flushed (FUA); then the blocks are read.
    case commit(BlockRange, Reading)
    /// The data from `done` bytes of the range on is compared with the guest's.
    case compare(done: UInt64, of: BlockRange)
    /// Bytes from `next` to `end` remain to be read, for Verify.
    case verify(next: UInt64, end: UInt64)
    /// Ranges from `next` on remain to be deallocated.
    case deallocate(next: Int)
    /// Namespaces from `next` on remain to be flushed.
    case flush(next: Int)
    /// Namespaces from `next` on remain to be flushed before the write cache is off.
    case cacheOff(next: Int)
    /// The namespaces to format, from `next` on, as `format`.
    case format(next: Int, format: UInt8)
    /// The block size is being written to the state file, before the namespace `next` is formatted.
    case keepFormat(next: Int, format: UInt8)
    /// A feature is being written to the state file; `before` was the saved value, `result` is dword 0.
    case keepFeature(Feature, before: UInt32?, result: UInt32)
    /// No request: the command waits for an event, or for a queue to empty.
    case waiting
    /// No command: a namespace is flushed because the host shuts down.
    case shutDown
    /// No command: a namespace is flushed because the controller is suspended.
    case settle

    /// Whether the state file is being written.
    var isKeeping: Bool {
      switch self {
      case .keepFormat, .keepFeature: true
      default: false
      }
    }
  }

  /// What is done with blocks that are read.
  enum Reading {
    case giveToHost
    case compare
    case verify
  }

  let request: StorageRequest
  var entry = SubmissionEntry(opcode: 0)
  /// Nil while the slot is free.
  var queue: SubmissionQueue?
  var namespace: Namespace?
  var work = Work.once
  /// When the command was fetched, if its time is measured; else 0.
  var began: UInt64 = 0
  /// What Dataset Management is to deallocate.
  var datasets: [DatasetRange] = []
  /// Whether the engine has the request, or the keeper of the state.
  var isSubmitted = false
  /// Whether the request waits for others with the same blocks.
  var isWaitingForBlocks = false
  /// Whether no other command of the queue may have the identifier.
  private var ownsIdentifier = false

  init(request: StorageRequest) { self.request = request }

  /// Takes the command's identifier.
  ///
  /// - Returns: false when another command in flight has it, which keeps it.
  func takeIdentifier() -> Bool {
    ownsIdentifier = queue?.begin(entry.commandID) == true
    return ownsIdentifier
  }

  /// Leaves the identifier to others.
  func releaseIdentifier() {
    if ownsIdentifier { queue?.end(entry.commandID) }
    ownsIdentifier = false
  }

  // MARK: What is to be done next

  /// Describes a request of the command about blocks.
  func asks(
    _ operation: StorageRequest.Operation, of storage: Storage, _ range: BlockRange
  ) -> Progress {
    asks(operation, of: storage, from: range.offset, count: range.count)
  }

  /// Describes a request of the command about bytes of a storage.
  func asks(
    _ operation: StorageRequest.Operation, of storage: Storage, from offset: UInt64, count: UInt64
  ) -> Progress {
    request.operation = operation
    request.storage = storage
    request.offset = offset
    request.count = count
    return .request
  }

  /// Describes a request of the command to bring everything that was written to its disk.
  func asksFlush(of storage: Storage) -> Progress {
    asks(.flush, of: storage, from: 0, count: 0)
  }
}
