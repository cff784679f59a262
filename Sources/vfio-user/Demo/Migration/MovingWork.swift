import CLinux
import VFIOUserProgram

/// Writes blocks and reads them back all the time, with many commands under way: what a guest does whose disk moves.
///
/// Each write has a pattern of its own, and no block is in two commands at a time, so that each block has one content that is
/// right. Nothing is waited for but the disk: commands stay under way when ``run(for:)`` returns.
struct MovingWork<Engine: BlockEngine> {
  private struct Command {
    var block: Int
    var isRead: Bool
    /// The pattern's number that the block has, or gets.
    var version: UInt64
  }

  private let engine: Engine
  private let blockSize: Int
  /// The number of the pattern of each block; 0 for one that was not written.
  private var versions: [UInt64]
  private var isBusy: [Bool]
  private var commands: [Command?]
  private var free: [Int]
  private var random: SplitMix
  private var expected: [UInt8]
  private var seen: [UInt8]
  private var lastEnd = clinux_now()
  private var failure: String?
  private(set) var figures = WorkFigures()

  init(_ engine: Engine, blocks: Int, blockSize: Int, seed: UInt64) {
    self.engine = engine
    self.blockSize = blockSize
    versions = Array(repeating: 0, count: blocks)
    isBusy = Array(repeating: false, count: blocks)
    commands = Array(repeating: nil, count: engine.depth)
    free = Array(0..<engine.depth)
    random = SplitMix(seed: seed)
    expected = Array(repeating: 0, count: blockSize)
    seen = expected
  }

  /// The number of commands under way.
  var underWay: Int { engine.depth - free.count }

  /// Works for a time; afterwards as many commands are under way as can be.
  mutating func run(for nanoseconds: UInt64) throws {
    let end = clinux_now() + nanoseconds
    repeat {
      try fill()
      try takeEnded()
    } while clinux_now() < end && !Interruption.hasCome
    try fill()
  }

  /// Waits for all that is under way.
  mutating func drain() throws {
    while underWay > 0 { try takeEnded() }
  }

  /// Reads every block that was ever written.
  mutating func verifyAll() throws {
    try drain()
    for block in versions.indices where versions[block] > 0 {
      while free.isEmpty { try takeEnded() }
      try start(block, isRead: true)
      if free.isEmpty { try engine.kick() }
    }
    try engine.kick()
    try drain()
  }

  /// The longest time without an end of a command since the last call.
  mutating func takeLongestPause() -> UInt64 {
    defer { figures.longestPause = 0 }
    return figures.longestPause
  }

  private mutating func fill() throws {
    while !free.isEmpty {
      var block = Int(random.next(below: UInt64(versions.count)))
      while isBusy[block] { block = (block + 1) % versions.count }
      try start(block, isRead: versions[block] > 0 && random.next(below: 3) == 0)
    }
    try engine.kick()
  }

  private mutating func start(_ block: Int, isRead: Bool) throws {
    guard let slot = free.popLast() else { return }
    var version = versions[block]
    if !isRead {
      figures.writes += 1
      version = figures.writes
      Pattern.fill(&expected, block: UInt64(block), seed: version)
      engine.fill(slot, expected.span)
    }
    commands[slot] = Command(block: block, isRead: isRead, version: version)
    isBusy[block] = true
    try engine.start(
      slot, isRead: isRead, at: UInt64(block) * UInt64(blockSize), count: blockSize)
  }

  private mutating func takeEnded() throws {
    let engine = engine
    try engine.wait { slot, reason in end(slot, reason) }
    if let failure { throw CommandError("the disk failed, \(failure).") }
    guard clinux_now() &- lastEnd < Self.patience else {
      throw CommandError("the disk has not ended a command for 30 seconds.")
    }
  }

  private mutating func end(_ slot: Int, _ reason: String?) {
    let now = clinux_now()
    figures.longestPause = max(figures.longestPause, now &- lastEnd)
    lastEnd = now
    guard let command = commands[slot].take() else { return figures.strays += 1 }
    free.append(slot)
    isBusy[command.block] = false
    if let reason {
      failure = "block \(command.block): \(reason)"
    } else if command.isRead {
      check(slot, command)
    } else {
      versions[command.block] = command.version
    }
  }

  private mutating func check(_ slot: Int, _ command: Command) {
    figures.reads += 1
    Pattern.fill(&expected, block: UInt64(command.block), seed: command.version)
    Self.readBack(engine, slot, &seen)
    if seen != expected { figures.badBlocks += 1 }
  }
}

extension MovingWork {
  /// Nanoseconds.
  private static var patience: UInt64 { 30_000_000_000 }

  private static func readBack(_ engine: Engine, _ slot: Int, _ data: inout [UInt8]) {
    var span = data.mutableSpan
    // Sound: every byte is a valid UInt8.
    var raw = unsafe span.mutableBytes
    engine.read(slot, into: &raw)
  }
}

/// What a driver has done and seen.
struct WorkFigures: Codable {
  /// Blocks that were written.
  var writes: UInt64 = 0
  /// Blocks that were read and compared.
  var reads: UInt64 = 0
  /// Blocks that were not as written.
  var badBlocks: UInt64 = 0
  /// Completions of commands that were not under way.
  var strays: UInt64 = 0
  /// Nanoseconds without the end of a command.
  fileprivate(set) var longestPause: UInt64 = 0

  private enum CodingKeys: CodingKey { case writes, reads, badBlocks, strays }
}
