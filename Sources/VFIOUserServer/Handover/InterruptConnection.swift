internal import LinuxPrimitives

/// The eventfds of a client and its masks, for a process that continues with its connection.
///
/// The numbers are those of descriptors that stay open.
struct InterruptConnection: Codable, Sendable {
  /// The vectors of an index.
  struct Vectors: Codable, Sendable {
    /// -1 where none is set.
    var counters: [Int32]
    /// Masked by the client, 64 in a word.
    var masked: [UInt64]
  }

  /// The eventfd of INTx; -1 if none is set.
  var intx: Int32
  var mask: INTxState.Mask
  /// The eventfd by which the client's kernel unmasks INTx; -1 if none is set.
  var unmask: Int32
  /// The epoll instance that watches it; -1 without one.
  var unmaskEdges: Int32
  var msi: Vectors
  var msix: Vectors
  var error: Vectors
  var request: Vectors
}

extension Interrupts {
  /// The eventfds and masks of the present client.
  var connection: InterruptConnection {
    state.withLock { state in
      InterruptConnection(
        intx: state.intx.counter?.descriptor.number ?? -1, mask: state.intx.mask,
        unmask: state.intx.watcher?.counter.descriptor.number ?? -1,
        unmaskEdges: state.intx.watcher?.edges.number ?? -1,
        msi: Self.record(of: state.msi), msix: Self.record(of: state.msix),
        error: Self.record(of: state.error), request: Self.record(of: state.request))
    }
  }

  private static func record(of vectors: InterruptVectors) -> InterruptConnection.Vectors {
    InterruptConnection.Vectors(
      counters: vectors.counters.map { $0?.descriptor.number ?? -1 },
      masked: vectors.maskedByClient.words)
  }

  /// Continues with the eventfds of a client whose connection is taken over; they become this process's.
  ///
  /// Signals nothing: what was due was signalled by the other process.
  func takeOver(
    _ record: InterruptConnection, from sender: PeerDescriptors
  ) throws(HandoverError) {
    func counter(_ number: Int32) -> EventFD? {
      number < 0 ? nil : EventFD(adopting: OwnedDescriptor(adopting: number, from: sender))
    }
    try state.withLock { state throws(HandoverError) in
      state.intx.resume(counter(record.intx), record.mask)
      try Self.resume(&state.msi, record.msi, "MSI", counter)
      try Self.resume(&state.msix, record.msix, "MSI-X", counter)
      try Self.resume(&state.error, record.error, "ERR", counter)
      try Self.resume(&state.request, record.request, "REQ", counter)
    }
    guard let unmask = counter(record.unmask) else { return }
    guard record.unmaskEdges >= 0 else {
      throw HandoverError("the eventfd that unmasks INTx comes without what watches it")
    }
    try HandoverError.wrapping("the client's eventfd that unmasks INTx cannot be watched") {
      try resumeWatching(unmask, OwnedDescriptor(adopting: record.unmaskEdges))
    }
  }

  private static func resume(
    _ present: inout InterruptVectors, _ record: InterruptConnection.Vectors, _ name: String,
    _ counter: (Int32) -> EventFD?
  ) throws(HandoverError) {
    guard record.counters.count == present.count,
      record.masked.count == present.maskedByClient.words.count
    else {
      throw HandoverError(
        "the client has \(record.counters.count) vectors of \(name), the device \(present.count)")
    }
    present.resume(record.counters.map(counter), maskedByClient: record.masked)
  }

  /// No signal that unmasks INTx is on its way between the eventfd and the mask.
  ///
  /// - Returns: whether that is so in time.
  func haltWatcher(before deadline: Deadline) -> Bool {
    state.withLock { $0.intx.watcher }?.halt(before: deadline) ?? true
  }

  func endHalt() { state.withLock { $0.intx.watcher }?.endHalt() }
}
