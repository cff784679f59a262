/// What a benchmark does: which blocks, in which order, how many at a time.
struct Workload {
  /// Bytes of one operation.
  let blockSize: Int
  /// Operations under way at a time.
  let depth: Int
  /// Of a hundred operations, how many read.
  let readShare: Int
  let isRandom: Bool
  /// The blocks of `blockSize` that are touched lie in the first so many.
  let blocks: UInt64
  let seconds: Double
  let seed: UInt64
  /// Which of them are touched.
  var share = Share.all

  /// The parts of a disk that belong to one of several who measure: each has every so many-th stripe, so that
  /// none reads what another has just brought into the cache.
  struct Share {
    static let all = Share(number: 0, of: 1)
    /// Read-ahead reaches across the end of a stripe, but that is a small part of it.
    static let maxBytes: UInt64 = 16 << 20

    /// From 0.
    let number: UInt64
    let of: UInt64
  }

  /// Blocks of a stripe.
  private var stripe: UInt64 {
    max(1, min(Share.maxBytes / UInt64(blockSize), blocks / share.of))
  }

  /// How many blocks belong to the share.
  var ownBlocks: UInt64 { share.of == 1 ? blocks : blocks / (stripe * share.of) * stripe }

  /// One of these blocks, as a number on the disk.
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

/// The operations of a workload, one after the other.
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

  /// The next one: whether it reads, and which block of `blockSize` it is about.
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

/// A small generator whose whole run follows from its seed.
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

  /// A number below `bound`, which is not zero.
  mutating func next(below bound: UInt64) -> UInt64 { next().multipliedFullWidth(by: bound).high }
}
