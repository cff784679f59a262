import LinuxPrimitives
import CLinux
import Glibc
import VFIOUserProgram

/// The result of a workload.
struct WorkloadResult {
  var reads = LatencyHistogram()
  var writes = LatencyHistogram()
  /// Duration in nanoseconds.
  var elapsed: UInt64 = 0
  var bytes: UInt64 = 0

  var operations: UInt64 { reads.count + writes.count }
  var seconds: Double { Double(elapsed) / 1e9 }
  var perSecond: Double { elapsed == 0 ? 0 : Double(operations) / seconds }
  var bytesPerSecond: Double { elapsed == 0 ? 0 : Double(bytes) / seconds }

  /// Adds the result of another round.
  mutating func add(_ other: WorkloadResult) {
    reads.merge(other.reads)
    writes.merge(other.writes)
    elapsed += other.elapsed
    bytes += other.bytes
  }
}

/// Runs a workload on an engine for some time.
struct WorkloadRun<Engine: BlockEngine> {
  private let engine: Engine
  private let workload: Workload
  private var steps: WorkloadSteps
  private var started: [(at: UInt64, isRead: Bool)]
  private var free: [Int]
  private(set) var result = WorkloadResult()
  private var failure: String?

  init(_ engine: Engine, _ workload: Workload) {
    self.engine = engine
    self.workload = workload
    steps = WorkloadSteps(workload)
    started = Array(repeating: (0, true), count: engine.depth)
    free = Array(0..<min(engine.depth, workload.depth))
  }

  /// Runs for `seconds`, or until the user interrupts.
  ///
  /// - Parameter progress: called with the elapsed share of the time.
  mutating func run(
    seconds: Double, _ progress: (_ share: Double, _ so: WorkloadResult) -> Void
  ) throws -> WorkloadResult {
    result = WorkloadResult()
    let begin = clinux_now()
    let length = UInt64(seconds * 1e9)
    let slots = free.count
    while true {
      let now = clinux_now()
      let over = now - begin
      let goesOn = over < length && !Interruption.hasCome && failure == nil
      if goesOn {
        // The steps of the clock that the kernel sleeps by are not to be those of the disk's naps.
        if workload.pause > 0 { usleep(UInt32(workload.pause + Int(steps.jitter(below: 100)))) }
        try startAll(at: workload.pause > 0 ? clinux_now() : now)
      }
      guard free.count < slots else { break }
      try engine.kick()
      try waitForSome()
      progress(min(1, Double(over) / Double(length)), result)
    }
    result.elapsed = clinux_now() - begin
    if let failure { throw CommandError("an operation of the workload failed: \(failure).") }
    return result
  }

  /// Starts as much as there are slots.
  ///
  /// - Parameter now: the time for all of them: a clock for each would cost as much as a fast disk.
  private mutating func startAll(at now: UInt64) throws {
    while let slot = free.popLast() {
      let (isRead, block) = steps.step()
      started[slot] = (now, isRead)
      try engine.start(
        slot, isRead: isRead, at: block * UInt64(workload.blockSize), count: workload.blockSize)
    }
  }

  private mutating func waitForSome() throws {
    // When the first of those that came together was seen.
    var now: UInt64 = 0
    try engine.wait { slot, reason in
      if now == 0 { now = clinux_now() }
      let (since, isRead) = started[slot]
      let took = now - since
      if isRead { result.reads.record(took) } else { result.writes.record(took) }
      result.bytes += UInt64(workload.blockSize)
      if let reason { failure = reason }
      free.append(slot)
    }
  }
}
