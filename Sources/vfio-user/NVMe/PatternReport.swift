/// The results of a verification.
struct PatternReport: Codable {
  let blocks: UInt64
  let blockSize: Int
  let seed: UInt64
  /// Whether blocks were to be written.
  let hasWritten: Bool
  var blocksWritten: UInt64 = 0
  /// Whether all written blocks were flushed.
  var isFlushed = false
  var blocksRead: UInt64 = 0
  var writeMBPerSecond: Double?
  var readMBPerSecond: Double?
  var badBlocks: UInt64 = 0
  /// Offset from the start of the disk in bytes.
  var firstBadOffset: UInt64?
  /// CRC-32C over the checksums of all blocks, in order; empty unless all were read.
  var checksum = ""
  var isInterrupted = false
  var lostInterrupts: [LostInterrupts] = []

  init(blocks: UInt64, blockSize: Int, seed: UInt64, hasWritten: Bool) {
    self.blocks = blocks
    self.blockSize = blockSize
    self.seed = seed
    self.hasWritten = hasWritten
  }

  var text: String {
    var lines: [String] = []
    if hasWritten {
      lines.append(
        "wrote \(amount(blocksWritten))\(isFlushed ? " and flushed" : ", not flushed"), "
          + "\(Int(writeMBPerSecond ?? 0)) MB/s, seed \(seed)")
    }
    if let rate = readMBPerSecond {
      lines.append("read  \(amount(blocksRead)) back, \(Int(rate)) MB/s")
    }
    if isInterrupted { lines.append("interrupted") }
    if let offset = firstBadOffset {
      lines.append(
        "\(badBlocks) of \(blocksRead) blocks are not as written with seed \(seed), the first at \(offset)"
      )
    } else if !isInterrupted {
      lines.append("all \(blocks) blocks are as written, CRC-32C \(checksum)")
    }
    return lines.joined(separator: "\n")
  }

  private func amount(_ count: UInt64) -> String {
    let bytes = { byteCount($0 * UInt64(blockSize)) }
    return count == blocks ? bytes(count) : "\(bytes(count)) of \(bytes(blocks))"
  }
}
