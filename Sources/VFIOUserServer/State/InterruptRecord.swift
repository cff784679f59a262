internal import VFIOUserTransport

/// The interrupts of a device that are pending or asserted.
///
/// The eventfds belong to the connection; what the guest has enabled is in configuration space.
struct InterruptRecord: Codable, Equatable, Sendable {
  /// What ``Interrupts/setLevel(_:)`` said last.
  var ownLevel: Bool
  /// The sources, by number: whether each is raised.
  var raised: [Bool]
  /// Pending vectors of MSI, 64 in a word.
  var pendingMSI: [UInt64]
  /// Pending vectors of MSI-X, 64 in a word.
  var pendingMSIX: [UInt64]
  /// The MSI-X table.
  var table: [UInt8]
  /// Whether the client has written to the table, so that its masks count.
  var isTableWritten: Bool
}

extension Interrupts {
  /// The record of the present state.
  var record: InterruptRecord {
    state.withLock { state in
      InterruptRecord(
        ownLevel: state.ownLevel, raised: state.sources.map(\.isRaised),
        pendingMSI: state.msi.pending.words, pendingMSIX: state.msix.pending.words,
        table: state.table.bytes, isTableWritten: state.table.isWritten)
    }
  }

  /// Checks whether a record fits this device.
  func check(_ record: InterruptRecord) throws(StateError) {
    try state.withLock { state throws(StateError) in
      guard record.raised.count <= state.sources.count else {
        throw StateError(
          "\(record.raised.count) interrupt sources, the device has \(state.sources.count)")
      }
      try Self.check(record.pendingMSI, of: state.msi, "MSI")
      try Self.check(record.pendingMSIX, of: state.msix, "MSI-X")
      guard VectorTable.canHold(record.table), record.table.count == state.table.bytes.count else {
        throw StateError(
          "the MSI-X table does not fit: \(record.table.count) bytes, of \(state.table.bytes.count)"
        )
      }
    }
  }

  private static func check(
    _ pending: [UInt64], of vectors: InterruptVectors, _ name: String
  ) throws(StateError) {
    guard pending.count == vectors.pending.words.count,
      (vectors.count..<64 * pending.count).allSatisfy({
        pending[$0 / 64] >> UInt64($0 % 64) & 1 == 0
      })
    else {
      throw StateError("pending vectors of \(name) do not fit: there are \(vectors.count) vectors")
    }
  }

  /// Loads a record that was checked, and signals what is due to eventfds that are set already.
  ///
  /// Configuration space has to be loaded before.
  func apply(_ record: InterruptRecord) {
    state.withLock { state in
      state.ownLevel = record.ownLevel
      for number in state.sources.indices {
        state.sources[number].isRaised = number < record.raised.count && record.raised[number]
      }
      state.table.load(record.table, isWritten: record.isTableWritten)
      state.applyTable()
      state.msi.load(pending: record.pendingMSI)
      state.msix.load(pending: record.pendingMSIX)
      state.updateLevel()
    }
  }
}
