internal import LinuxPrimitives
internal import NVMeProtocol
internal import VFIOUserServer

/// Counts the I/O commands of a controller.
///
/// The thread that has the controller's turn counts; any thread reads.
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

  /// What was counted so far.
  var work: DeviceWork {
    // In this order, so that the difference is never below zero.
    let ended = ended.now
    return DeviceWork(
      [
        WorkStatistics("read", reads.now, bytes: bytesRead.now),
        WorkStatistics("write", writes.now, bytes: bytesWritten.now),
        WorkStatistics("flush", flushes.now), WorkStatistics("other", others.now),
      ],
      failures: failures.now, inFlight: times.count &- ended, times: times.histogram)
  }
}

extension NVMeDevice: CountingDevice {
  /// The I/O commands; those for administration are not counted.
  package var work: DeviceWork {
    var work = controller.counters.work
    let remotes = options.exports.map(\.statistics)
    if !remotes.isEmpty { work.remotes = remotes }
    work.throttle = controller.limiter.counters.statistics
    return work
  }
}
