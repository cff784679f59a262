/// How many operations, or bytes, a disk takes in a second.
///
/// It is the rate at which a token bucket fills; ``burst`` is the size of the bucket.
public struct RateLimit: Equatable, Sendable {
  /// Operations or bytes.
  public var perSecond: Int
  /// How many are taken at once after a rest; nil for those of 10 ms, and never fewer.
  public var burst: Int?

  /// A limit; ``RateLimits`` has the ranges.
  public init(perSecond: Int, burst: Int? = nil) {
    self.perSecond = perSecond
    self.burst = burst
  }
}

/// The limits of a disk, all of its namespaces together; what is nil is not limited.
///
/// Each I/O command is an operation, whether it succeeds or not. Read, Compare and Verify are reads; Write, Write Zeroes,
/// Dataset Management and Flush are writes. The bytes are those of the blocks that a command names, but for Dataset
/// Management, which has none. Commands that have to wait stay in their queues. Commands of the admin queue never wait.
public struct RateLimits: Equatable, Sendable {
  /// What ``RateLimit/perSecond`` of operations may be, and ``RateLimit/burst`` from 1 on.
  public static let operationRange = 1...1_000_000_000
  /// What ``RateLimit/perSecond`` of bytes may be, and ``RateLimit/burst`` from 1 on.
  ///
  /// With less than the least, the largest command would take as long as a host waits for one: Linux waits 30 s.
  public static let byteRange = 65_536...1 << 40

  /// Operations, reads and writes together.
  public var operations: RateLimit?
  /// Operations, reads alone.
  public var readOperations: RateLimit?
  /// Operations, everything that is no read.
  public var writeOperations: RateLimit?
  /// Bytes, of reads and writes together.
  public var bytes: RateLimit?
  /// Bytes of reads.
  public var readBytes: RateLimit?
  /// Bytes of writes.
  public var writeBytes: RateLimit?

  /// No limits.
  public init() {}
}

extension RateLimits {
  /// - Throws: ``NVMeDevice/ValidationError`` for a number that is out of its range.
  func check() throws(NVMeDevice.ValidationError) {
    let all = [
      ("operations", operations, Self.operationRange),
      ("read operations", readOperations, Self.operationRange),
      ("write operations", writeOperations, Self.operationRange),
      ("bytes", bytes, Self.byteRange),
      ("read bytes", readBytes, Self.byteRange),
      ("written bytes", writeBytes, Self.byteRange),
    ]
    for case (let what, let limit?, let range) in all {
      guard range.contains(limit.perSecond) else {
        throw .outOfRange(what: "\(what) per second", value: limit.perSecond, range: range)
      }
      let bursts = 1...range.upperBound
      guard bursts.contains(limit.burst ?? 1) else {
        throw .outOfRange(what: "\(what) at once", value: limit.burst ?? 1, range: bursts)
      }
    }
  }
}
