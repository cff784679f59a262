/// The work of a benchmark: which blocks, in which order, with how many operations in flight.
struct Workload {
  /// Size of one operation in bytes.
  let blockSize: Int
  /// Number of operations in flight.
  let depth: Int
  /// Percentage of reads.
  let readShare: Int
  let isRandom: Bool
  /// Only the first `blocks` blocks of `blockSize` are accessed.
  let blocks: UInt64
  let seconds: Double
  let seed: UInt64
  /// Microseconds without an operation, before each.
  var pause = 0
  /// The share of these blocks that is accessed.
  var share = Share.all

  /// The part of a disk that is accessed by one of several measurements: every n-th stripe.
  ///
  /// So no measurement reads what another one has just brought into the cache.
  struct Share {
    static let all = Share(number: 0, of: 1)
    /// Read-ahead crosses the end of a stripe, but this is only a small part of it.
    static let maxBytes: UInt64 = 16 << 20

    /// Index of the measurement, from 0.
    let number: UInt64
    let of: UInt64
  }

  /// Number of blocks in a stripe.
  private var stripe: UInt64 {
    max(1, min(Share.maxBytes / UInt64(blockSize), blocks / share.of))
  }

  /// Number of blocks in the share.
  var ownBlocks: UInt64 { share.of == 1 ? blocks : blocks / (stripe * share.of) * stripe }

  /// Converts a block number within the share to one on the disk.
  func place(of block: UInt64) -> UInt64 {
    let (row, rest) = block.quotientAndRemainder(dividingBy: stripe)
    return (row * share.of + share.number) * stripe + rest
  }

  /// For example "4 KiB random read, depth 32".
  var title: String {
    let kind =
      switch readShare {
      case 100: "read"
      case 0: "write"
      default: "\(readShare)/\(100 - readShare) read/write"
      }
    return
      "\(byteCount(UInt64(blockSize))) \(isRandom ? "random" : "sequential") \(kind), depth \(depth)"
  }
}

/// The sequence of operations of a workload.
struct WorkloadSteps {
  private let workload: Workload
  private let own: UInt64
  private var random: SplitMix
  private var next: UInt64 = 0

  init(_ workload: Workload) {
    self.workload = workload
    own = workload.ownBlocks
    random = SplitMix(seed: workload.seed)
  }

  /// A random number, for whatever is no step.
  mutating func jitter(below bound: UInt64) -> UInt64 { random.next(below: bound) }

  /// The next operation: whether it reads, and its block number in units of `blockSize`.
  mutating func step() -> (isRead: Bool, block: UInt64) {
    let isRead =
      switch workload.readShare {
      case 100: true
      case 0: false
      default: random.next(below: 100) < UInt64(workload.readShare)
      }
    if workload.isRandom { return (isRead, workload.place(of: random.next(below: own))) }
    defer { next = next + 1 == own ? 0 : next + 1 }
    return (isRead, workload.place(of: next))
  }
}

/// A small generator with a sequence determined by its seed.
struct SplitMix: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var value = state
    value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
    return value ^ value >> 31
  }

  /// A random number below `bound`, which must not be zero.
  mutating func next(below bound: UInt64) -> UInt64 { next().multipliedFullWidth(by: bound).high }
}
