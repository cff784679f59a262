// Commands of the NVM command set (NVMe 1.4, section 6). Numbers of blocks are one-based here.

extension SubmissionEntry {
  /// A Read command.
  ///
  /// - Precondition: 1 to 65,536 blocks.
  public static func read(
    _ namespace: UInt32, from block: UInt64, blocks: Int, forceUnitAccess: Bool = false
  ) -> SubmissionEntry {
    transfer(.read, namespace, block, blocks, forceUnitAccess ? 1 << 30 : 0)
  }

  /// A Write command.
  ///
  /// - Precondition: 1 to 65,536 blocks.
  public static func write(
    _ namespace: UInt32, to block: UInt64, blocks: Int, forceUnitAccess: Bool = false
  ) -> SubmissionEntry {
    transfer(.write, namespace, block, blocks, forceUnitAccess ? 1 << 30 : 0)
  }

  /// A Compare command.
  ///
  /// - Precondition: 1 to 65,536 blocks.
  public static func compare(
    _ namespace: UInt32, from block: UInt64, blocks: Int
  ) -> SubmissionEntry {
    transfer(.compare, namespace, block, blocks, 0)
  }

  /// A Write Zeroes command.
  ///
  /// - Precondition: 1 to 65,536 blocks.
  public static func writeZeroes(
    _ namespace: UInt32, from block: UInt64, blocks: Int, mayDeallocate: Bool = false
  ) -> SubmissionEntry {
    transfer(.writeZeroes, namespace, block, blocks, mayDeallocate ? 1 << 25 : 0)
  }

  /// A Verify command.
  ///
  /// - Precondition: 1 to 65,536 blocks.
  public static func verify(
    _ namespace: UInt32, from block: UInt64, blocks: Int
  ) -> SubmissionEntry {
    transfer(.verify, namespace, block, blocks, 0)
  }

  /// A Flush command.
  public static func flush(_ namespace: UInt32) -> SubmissionEntry {
    SubmissionEntry(opcode: IOOpcode.flush.rawValue, namespaceID: namespace)
  }

  /// A Dataset Management command; its data are the ranges.
  ///
  /// - Precondition: 1 to 256 ranges.
  public static func datasetManagement(
    _ namespace: UInt32, ranges: Int, _ attributes: DatasetAttributes
  ) -> SubmissionEntry {
    precondition(1...DatasetRange.maxRanges ~= ranges, "\(ranges) ranges")
    var entry = SubmissionEntry(
      opcode: IOOpcode.datasetManagement.rawValue, namespaceID: namespace)
    entry.dword10 = UInt32(ranges - 1)
    entry.dword11 = attributes.rawValue
    return entry
  }

  private static func transfer(
    _ opcode: IOOpcode, _ namespace: UInt32, _ block: UInt64, _ blocks: Int, _ flags: UInt32
  ) -> SubmissionEntry {
    precondition(1...65536 ~= blocks, "\(blocks) blocks in one command")
    var entry = SubmissionEntry(opcode: opcode.rawValue, namespaceID: namespace)
    entry.startingBlock = block
    entry.dword12 = UInt32(blocks - 1) | flags
    return entry
  }
}
