internal import NVMeProtocol

/// The threads that serve queues, of which neither may block.
enum ServingThread {
  case controller
  /// The connection's, for which the client waits: it must not wait for that client's memory either.
  case connection
}

extension Namespace {
  /// Most bytes that are moved at once by the thread that serves a queue, instead of by the engine; zero for none.
  ///
  /// The only place where that is decided. A thread that serves a queue must not wait for a disk: the page cache is
  /// asked not to (`RWF_NOWAIT`) or is known to be memory, and everything else is the engine's. Reads of the
  /// page cache never wait. Writes may, for a journal or a lock, where the file system cannot be asked.
  func inlineBudget(
    of operation: StorageRequest.Operation, on thread: ServingThread, at now: UInt64
  ) -> UInt64 {
    guard file.cache == .writeBack else { return 0 }
    // A page: its two pointers lead to the data itself, and not to a list, which may have to be asked for.
    let most: UInt64 = thread == .connection ? 4096 : 128 << 10
    switch operation {
    case .read: return most
    case .write(durable: false):
      guard !claims.holdsHeavy else { return 0 }
      if file.isInMemory { return most }
      return thread == .controller && writing.isAllowed(at: now) ? most : 0
    case .write, .flush, .zero, .deallocate: return 0
    }
  }
}

extension SubmissionEntry {
  /// The operation of a command that may fit into the budget of the connection's thread.
  var inlineOperation: StorageRequest.Operation? {
    // An SGL may lead to lists.
    guard flags.dataDescription == 0 else { return nil }
    switch IOOpcode(rawValue: opcode) {
    case .read: return .read
    case .write: return .write(durable: false)
    default: return nil
    }
  }
}
