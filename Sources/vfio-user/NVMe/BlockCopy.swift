import CLinux
import NVMeDriver
import VFIOUserProgram

/// Copies blocks in order, with several commands in flight.
final class BlockCopy {
  /// Maximum number of commands in flight.
  static let depth = 8
  /// Size of one command in bytes, if the disk supports it.
  static let transfer = 256 << 10

  private let disk: Disk
  private let engine: DiskEngine
  private let transfer: Int
  private var sum = CRC32C()
  private var bytes: UInt64 = 0
  private var elapsed: UInt64 = 0
  private var ended: [Bool]
  private var lengths: [Int]
  private var failure: String?

  init(_ disk: Disk) throws {
    self.disk = disk
    transfer = min(Self.transfer, disk.namespace.maxBytes)
    engine = try DiskEngine(disk, depth: Self.depth, transfer: transfer)
    ended = Array(repeating: true, count: engine.depth)
    lengths = Array(repeating: 0, count: engine.depth)
  }

  /// For example "1 MiB read, CRC-32C 1a2b3c4d, 512 MB/s".
  func report(_ verb: String) -> String {
    let rate = elapsed == 0 ? 0 : Double(bytes) / Double(elapsed) * 1000
    let begin = Interruption.hasCome ? "interrupted; " : ""
    return "\(begin)\(byteCount(bytes)) \(verb), CRC-32C \(hex(sum.value, 8)), \(Int(rate)) MB/s"
  }

  /// Reads a range and passes it to `body` in order.
  func read(_ range: Range<UInt64>, _ body: (Span<UInt8>) throws -> Void) throws {
    let begin = clinux_now()
    var progress = ProgressLine()
    var data = [UInt8](repeating: 0, count: transfer)
    var next = range.lowerBound
    var done = range.lowerBound
    var slot = 0
    // The slots are used as a ring: wait for the oldest, so that the data stays in order.
    var busy = 0
    while done < range.upperBound {
      while busy < engine.depth, next < range.upperBound, !Interruption.hasCome {
        let place = (slot + busy) % engine.depth
        next += UInt64(try start(place, isRead: true, next, range))
        busy += 1
      }
      guard busy > 0 else { break }
      try engine.kick()
      try wait(for: slot)
      let count = lengths[slot]
      try copyOut(slot, count, &data)
      sum.update(data.span.extracting(..<count))
      try body(data.span.extracting(..<count))
      done += UInt64(count)
      bytes += UInt64(count)
      slot = (slot + 1) % engine.depth
      busy -= 1
      progress.show("\(byteCount(bytes / 1048576 * 1048576)) of \(byteCount(UInt64(range.count)))")
    }
    progress.clear()
    elapsed = clinux_now() - begin
  }

  /// Writes the data supplied by `body` until it supplies less than requested; then flushes.
  ///
  /// - Parameter body: fills the array from its start, and returns the number of bytes supplied.
  func write(_ range: Range<UInt64>, _ body: (inout [UInt8]) throws -> Int) throws {
    let begin = clinux_now()
    var progress = ProgressLine()
    var data = [UInt8](repeating: 0, count: transfer)
    var next = range.lowerBound
    var isOver = false
    var slot = 0
    while !isOver, !Interruption.hasCome {
      let count = try body(&data)
      isOver = count < data.count
      guard count > 0 else { break }
      guard UInt64(count) <= range.upperBound - next else {
        throw CommandError(
          "the data does not fit: the disk ends after \(byteCount(bytes)) of it.")
      }
      try wait(for: slot)
      sum.update(data.span.extracting(..<count))
      for index in count..<data.count { data[index] = 0 }
      engine.fill(slot, data.span)
      let block = disk.namespace.blockSize
      let length = (count + block - 1) / block * block
      next += UInt64(try start(slot, isRead: false, next, next..<next + UInt64(length)))
      try engine.kick()
      bytes += UInt64(count)
      slot = (slot + 1) % engine.depth
      progress.show(byteCount(bytes / 1048576 * 1048576))
    }
    for slot in ended.indices { try wait(for: slot) }
    try engine.flush()
    progress.clear()
    elapsed = clinux_now() - begin
  }

  /// Starts an operation.
  ///
  /// - Returns: its size in bytes.
  private func start(
    _ slot: Int, isRead: Bool, _ offset: UInt64, _ range: Range<UInt64>
  ) throws -> Int {
    let count = Int(min(UInt64(transfer), range.upperBound - offset))
    ended[slot] = false
    lengths[slot] = count
    try engine.start(slot, isRead: isRead, at: offset, count: count)
    return count
  }

  private func wait(for slot: Int) throws {
    while !ended[slot] {
      try engine.wait { slot, reason in
        ended[slot] = true
        if let reason { failure = reason }
      }
    }
    if let failure { throw CommandError("the disk failed: \(failure).") }
  }

  private func copyOut(_ slot: Int, _ count: Int, _ data: inout [UInt8]) throws {
    var span = data.mutableSpan
    // Sound: every byte is a valid UInt8.
    var raw = unsafe span.mutableBytes
    var part = raw._mutatingExtracting(..<count)
    engine.read(slot, into: &part)
  }
}
