internal import NVMeProtocol

/// A range of blocks inside a namespace; the initialiser has checked that.
struct BlockRange {
  /// Bytes from the start of the namespace.
  let offset: UInt64
  /// Bytes.
  let count: UInt64

  /// Reads first block and number of blocks from a command.
  ///
  /// - Parameters:
  ///   - entry: the command.
  ///   - namespace: the namespace that must contain the blocks.
  ///   - limit: most bytes; nil for commands that move no data.
  init(
    _ entry: SubmissionEntry, _ namespace: Namespace, limit: UInt64? = nil
  ) throws(CommandError) {
    // PRINFO says what to do with protection information (section 8.3); there is none, so it says nothing.
    guard let range = Self(entry.startingBlock, Self.blockCount(entry), in: namespace) else {
      throw CommandError(Status.lbaOutOfRange.final, byte: 40, block: entry.startingBlock)
    }
    if let limit, range.count > limit { throw .field(48) }
    self = range
  }

  /// So many blocks from one on; nil when they are not in the namespace.
  init?(_ block: UInt64, _ blocks: UInt64, in namespace: Namespace) {
    let (end, wraps) = block.addingReportingOverflow(blocks)
    guard !wraps, end <= namespace.blocks else { return nil }
    offset = block << UInt64(namespace.shift)
    count = blocks << UInt64(namespace.shift)
  }

  /// NLB, which is zero-based.
  private static func blockCount(_ entry: SubmissionEntry) -> UInt64 {
    UInt64(entry.dword12 & 0xFFFF) + 1
  }

  /// The bytes that a command addresses, inside the namespace or not.
  static func byteCount(_ entry: SubmissionEntry, _ namespace: Namespace) -> UInt64 {
    blockCount(entry) << UInt64(namespace.shift)
  }
}

extension SubmissionEntry {
  /// FUA: what is written is on the disk before the command is done, what is read as well.
  var forcesUnitAccess: Bool { dword12 & 1 << 30 != 0 }
}
