internal import LinuxPrimitives
internal import NVMeProtocol
internal import VFIOUserServer

/// Counts the I/O commands that a thread serves, which counts; any thread reads.
final class DiskCounters: Sendable {
  private let reads = Count()
  private let bytesRead = Count()
  private let writes = Count()
  private let bytesWritten = Count()
  private let flushes = Count()
  private let others = Count()
  private let failures = Count()
  private let ended = Count()
  private let times = SampledTimes()

  /// A command was fetched.
  ///
  /// - Returns: the time, if that of this command is to be measured; else 0.
  func begin() -> UInt64 { times.begin() }

  /// So many commands are about to be carried out on the fast path.
  ///
  /// - Returns: as ``begin()``.
  func begin(_ count: Int) -> UInt64 { times.begin(count) }

  /// The fast path has carried out some of them.
  ///
  /// - Parameters:
  ///   - count: how many were begun; those that were not carried out begin again.
  ///   - began: what ``begin(_:)`` has returned.
  func complete(_ tally: FastTally, begun count: Int, _ began: UInt64) {
    times.takeBack(count - tally.commands)
    if tally.reads > 0 {
      reads.add(tally.reads)
      bytesRead.add(tally.bytesRead)
    }
    if tally.writes > 0 {
      writes.add(tally.writes)
      bytesWritten.add(tally.bytesWritten)
    }
    ended.add(UInt64(tally.commands))
    if tally.commands > 0 { times.end(began) }
  }

  /// A command gets its completion.
  ///
  /// - Parameter bytes: the data that it has moved.
  func complete(_ opcode: IOOpcode, bytes: UInt64, failed: Bool) {
    if failed { failures.add() }
    switch opcode {
    case .read:
      reads.add()
      bytesRead.add(bytes)
    case .write:
      writes.add()
      bytesWritten.add(bytes)
    case .flush: flushes.add()
    default: others.add()
    }
  }

  /// A command that ``begin()`` has counted is no more in flight, with or without a completion.
  ///
  /// - Parameter began: what ``begin()`` has returned.
  func end(_ began: UInt64) {
    ended.add()
    times.end(began)
  }

  /// What several threads have counted so far.
  static func work(of all: [DiskCounters]) -> DeviceWork {
    func sum(_ count: (DiskCounters) -> UInt64) -> UInt64 { all.reduce(0) { $0 &+ count($1) } }
    // In this order, so that the difference is never below zero.
    let ended = sum { $0.ended.now }
    let begun = sum { $0.times.count }
    var histogram = LatencyHistogram()
    for counters in all { histogram.merge(counters.times.histogram) }
    return DeviceWork(
      [
        WorkStatistics("read", sum { $0.reads.now }, bytes: sum { $0.bytesRead.now }),
        WorkStatistics("write", sum { $0.writes.now }, bytes: sum { $0.bytesWritten.now }),
        WorkStatistics("flush", sum { $0.flushes.now }),
        WorkStatistics("other", sum { $0.others.now }),
      ],
      failures: sum { $0.failures.now }, inFlight: begun &- ended, times: histogram)
  }
}

extension NVMeDevice: CountingDevice {
  /// The I/O commands; those for administration are not counted.
  package var work: DeviceWork {
    var work = DiskCounters.work(of: [controller.counters] + controller.workers.counters)
    let remotes = options.exports.map(\.statistics)
    if !remotes.isEmpty { work.remotes = remotes }
    work.throttle = controller.limiter.counters.statistics
    return work
  }
}
