package import LinuxPrimitives

/// How long work takes, measured for one of ``DeviceWork/sampling``: for the rest nothing but a count is changed.
///
/// One thread at a time counts; any thread reads.
package struct SampledTimes: ~Copyable, Sendable {
  private let begun = Count()
  private let times = Monitor(LatencyHistogram())

  package init() {}

  /// Work has begun.
  ///
  /// - Returns: the time, if this work is to be measured; else 0.
  package func begin() -> UInt64 { begin(1) }

  /// Several pieces of work have begun, of which one at most is measured.
  ///
  /// - Returns: as ``begin()``.
  package func begin(_ count: Int) -> UInt64 {
    let before = begun.now / DeviceWork.sampling
    begun.add(UInt64(count))
    return begun.now / DeviceWork.sampling == before ? 0 : Deadline.now
  }

  /// So many have not begun after all.
  package func takeBack(_ count: Int) { begun.add(0 &- UInt64(count)) }

  /// Work has ended.
  ///
  /// - Parameter began: what ``begin()`` has returned.
  package func end(_ began: UInt64) {
    guard began != 0 else { return }
    let time = Deadline.now &- began
    times.withLock { $0.record(time) }
  }

  /// How much work has begun.
  package var count: UInt64 { begun.now }

  /// The times of what was measured.
  package var histogram: LatencyHistogram { times.withLock { $0 } }
}
