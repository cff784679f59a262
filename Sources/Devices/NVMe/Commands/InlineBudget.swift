internal import NVMeProtocol

/// The threads that serve queues, of which neither may block.
enum ServingThread {
  case controller
  /// The connection's; the client waits for it, so it must not wait for that client's memory either.
  case connection
}

extension Namespace {
  /// The bytes that the serving thread may move itself, instead of the engine; zero for none.
  ///
  /// The only place where that is decided. A serving thread must not block on a disk. Reads of the page cache never
  /// do (`RWF_NOWAIT`). Writes may, on a journal or a lock, where the file system does not know `RWF_NOWAIT`; memory
  /// never blocks. Everything else is the engine's.
  func inlineBudget(
    of operation: StorageRequest.Operation, on thread: ServingThread, at now: UInt64
  ) -> UInt64 {
    guard storage.cache == .writeBack else { return 0 }
    // PRP 1 and 2 of a page point to the data itself, not to a list that may have to be read by messages.
    let most: UInt64 = thread == .connection ? 4096 : 128 << 10
    switch operation {
    case .read: return most
    case .write(durable: false):
      guard !claims.holdsHeavy else { return 0 }
      if storage.isInMemory { return most }
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
