import CLinux
import VFIOUserProgram

/// Writes blocks with a recognisable pattern, and verifies them.
struct PatternPass<Engine: BlockEngine> {
  private let engine: Engine
  private let seed: UInt64
  private let transfer: Int
  private let isShown: Bool
  private let isInterrupted: () -> Bool
  /// The expected contents of a block.
  private var data: [UInt8]
  /// The actual contents.
  private var seen: [UInt8]
  private var blockOf: [UInt64]
  private var free: [Int]
  private var sums: [UInt32] = []
  private var report = PatternReport(blocks: 0, blockSize: 0, seed: 0, hasWritten: false)
  private var failure: String?

  init(
    _ engine: Engine, seed: UInt64, transfer: Int, isShown: Bool,
    isInterrupted: @escaping () -> Bool = { Interruption.hasCome }
  ) {
    self.isInterrupted = isInterrupted
    self.engine = engine
    self.seed = seed
    self.transfer = transfer
    self.isShown = isShown
    data = Array(repeating: 0, count: transfer)
    seen = data
    blockOf = Array(repeating: 0, count: engine.depth)
    free = Array(0..<engine.depth)
  }

  /// Writes a range of blocks, if wanted, and reads it back.
  mutating func run(_ blocks: Range<UInt64>, writes: Bool) throws -> PatternReport {
    let total = UInt64(blocks.count)
    report = PatternReport(blocks: total, blockSize: transfer, seed: seed, hasWritten: writes)
    sums = Array(repeating: 0, count: blocks.count)
    if writes {
      let begin = clinux_now()
      report.blocksWritten = try pass(blocks, isRead: false)
      if report.blocksWritten == total, !isInterrupted() {
        try engine.flush()
        report.isFlushed = true
      }
      report.writeMBPerSecond = rate(report.blocksWritten, since: begin)
    }
    if !isInterrupted() {
      let begin = clinux_now()
      report.blocksRead = try pass(blocks, isRead: true)
      report.readMBPerSecond = rate(report.blocksRead, since: begin)
    }
    report.isInterrupted = report.blocksRead < total
    if !report.isInterrupted {
      var all = CRC32C()
      for sum in sums { all.update(littleEndian: sum) }
      report.checksum = hex(all.value, 8)
    }
    return report
  }

  private func rate(_ blocks: UInt64, since begin: UInt64) -> Double {
    Double(blocks * UInt64(transfer)) / Double(max(1, clinux_now() - begin)) * 1000
  }

  /// Processes the blocks once.
  ///
  /// - Returns: the number of blocks processed before an interruption.
  private mutating func pass(_ blocks: Range<UInt64>, isRead: Bool) throws -> UInt64 {
    var progress = ProgressLine(isShown)
    var next = blocks.lowerBound
    var ended: UInt64 = 0
    while ended < UInt64(blocks.count) {
      while next < blocks.upperBound, !isInterrupted(), let slot = free.popLast() {
        blockOf[slot] = next
        if !isRead {
          Pattern.fill(&data, block: next, seed: seed)
          engine.fill(slot, data.span)
        }
        try engine.start(slot, isRead: isRead, at: next * UInt64(transfer), count: transfer)
        next += 1
      }
      guard free.count < engine.depth else { break }
      try engine.kick()
      try engine.wait { slot, reason in
        if let reason { failure = "block \(blockOf[slot]): \(reason)" }
        if isRead, reason == nil { check(slot) }
        ended += 1
        free.append(slot)
      }
      if let failure { throw CommandError("the disk failed, \(failure).") }
      progress.show("\(isRead ? "reading" : "writing"): \(ended * 100 / UInt64(blocks.count)) %")
    }
    progress.clear()
    return ended
  }

  /// Compares the data read with the expected data.
  private mutating func check(_ slot: Int) {
    let block = blockOf[slot]
    Pattern.fill(&data, block: block, seed: seed)
    Self.readBack(engine, slot, &seen)
    // Without the checksum at the end: including it, the sum of every intact block would be the
    // same.
    sums[Int(block)] = CRC32C.of(seen.span.extracting(..<(transfer - 4)))
    guard seen != data else { return }
    report.badBlocks += 1
    let offset = block * UInt64(transfer)
    report.firstBadOffset = min(report.firstBadOffset ?? offset, offset)
  }

  private static func readBack(_ engine: Engine, _ slot: Int, _ data: inout [UInt8]) {
    var span = data.mutableSpan
    // Sound: every byte is a valid UInt8.
    var raw = unsafe span.mutableBytes
    engine.read(slot, into: &raw)
  }
}

/// The recognisable contents of blocks.
enum Pattern {
  /// Fills a block with its number, pseudo-random bytes, and finally the checksum of everything
  /// before.
  ///
  /// - Precondition: the size of `data` is a multiple of 8 bytes, at least 16.
  static func fill(_ data: inout [UInt8], block: UInt64, seed: UInt64) {
    let count = data.count
    var random = SplitMix(seed: seed &+ block &* 0x9E37_79B9_7F4A_7C15)
    var span = data.mutableSpan
    // Sound: every byte is a valid UInt8.
    var raw = unsafe span.mutableBytes
    raw.storeBytes(of: block.littleEndian, toByteOffset: 0, as: UInt64.self)
    for place in stride(from: 8, to: count, by: 8) {
      raw.storeBytes(of: random.next().littleEndian, toByteOffset: place, as: UInt64.self)
    }
    let sum = CRC32C.of(data.span.extracting(..<(count - 4)))
    store(sum, &data, at: count - 4)
  }

  private static func store(_ sum: UInt32, _ data: inout [UInt8], at place: Int) {
    var span = data.mutableSpan
    // Sound: as above.
    var raw = unsafe span.mutableBytes
    raw.storeBytes(of: sum.littleEndian, toByteOffset: place, as: UInt32.self)
  }
}

extension CRC32C {
  /// Adds a number to the checksum.
  mutating func update(littleEndian number: UInt32) {
    let bytes = (0..<4).map { UInt8(truncatingIfNeeded: number >> UInt32(8 * $0)) }
    update(bytes.span)
  }
}
