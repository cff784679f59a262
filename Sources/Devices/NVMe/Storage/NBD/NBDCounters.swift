internal import Synchronization
internal import VFIOUserServer

/// What an export's connections have been through; written by the controller's thread, read by any.
final class NBDCounters: Sendable {
  private let ready = Atomic<Int>(0)
  private let asked = Atomic<Int>(0)
  private let returns = Atomic<UInt64>(0)
  private let lost = Atomic<Bool>(false)

  /// Connections that are ready.
  var connections: Int {
    get { ready.load(ordering: .relaxed) }
    set { ready.store(newValue, ordering: .relaxed) }
  }

  /// Commands that the server has.
  var inFlight: Int {
    get { asked.load(ordering: .relaxed) }
    set { asked.store(newValue, ordering: .relaxed) }
  }

  /// How often the server was lost and came back.
  var reconnects: UInt64 { returns.load(ordering: .relaxed) }

  func noteReturn() { returns.add(1, ordering: .relaxed) }

  /// Whether the server is lost.
  var isLost: Bool {
    get { lost.load(ordering: .relaxed) }
    set { lost.store(newValue, ordering: .relaxed) }
  }
}

extension NBDExport {
  /// What was counted so far; from any thread.
  var statistics: RemoteStatistics {
    RemoteStatistics(
      name, connections: counters.connections, inFlight: counters.inFlight,
      reconnects: counters.reconnects, isLost: counters.isLost)
  }
}
