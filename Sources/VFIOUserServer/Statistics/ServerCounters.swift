internal import LinuxPrimitives
internal import VFIOUserTransport

/// Counts the messages of the clients of one device.
///
/// The thread that serves the client counts; any thread reads.
final class ServerCounters: Sendable {
  private let reads = Count()
  private let writes = Count()
  private let mappings = Count()
  private let others = Count()
  let bytesRead = Count()
  let bytesWritten = Count()
  let refusals = Count()
  /// Counted under the lock of ``DeviceServer/state``.
  let clients = Count()
  /// Counted by the thread that accepts clients.
  let refusedClients = Count()
  private let times = SampledTimes()

  /// Counts a message.
  ///
  /// - Returns: the time, if the service of this message is to be measured; else 0.
  func begin(_ command: Command) -> UInt64 {
    switch command {
    case .regionRead: reads.add()
    case .regionWrite, .regionWriteMulti: writes.add()
    case .dmaMap, .dmaUnmap: mappings.add()
    default: others.add()
    }
    return times.begin()
  }

  /// The message was served that began at a time.
  func end(_ began: UInt64) { times.end(began) }

  /// The messages by kind.
  var messages: [WorkStatistics] {
    [
      WorkStatistics("read", reads.now, bytes: bytesRead.now),
      WorkStatistics("write", writes.now, bytes: bytesWritten.now),
      WorkStatistics("map", mappings.now),
      WorkStatistics("other", others.now),
    ]
  }

  /// How long the service of some messages took.
  var serviceTimes: LatencyHistogram { times.histogram }
}
