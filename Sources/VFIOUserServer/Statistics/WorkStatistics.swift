package import LinuxPrimitives

/// What was done of one kind of work, since the process began.
package struct WorkStatistics: Codable, Sendable, Equatable {
  /// The kind: `read`, `write`, `flush`, ...
  package var kind: String
  package var count: UInt64
  /// The data that was moved.
  package var bytes: UInt64

  package init(_ kind: String, _ count: UInt64, bytes: UInt64 = 0) {
    self.kind = kind
    self.count = count
    self.bytes = bytes
  }
}

/// How a device stands with a server of another machine that has its data.
package struct RemoteStatistics: Codable, Sendable, Equatable {
  /// What it is called in messages.
  package var name: String
  /// Connections that are ready.
  package var connections: Int
  /// Commands that the server has.
  package var inFlight: Int
  /// How often the server was lost and came back.
  package var reconnects: UInt64
  /// Whether it is lost now.
  package var isLost: Bool

  package init(
    _ name: String, connections: Int, inFlight: Int, reconnects: UInt64, isLost: Bool
  ) {
    self.name = name
    self.connections = connections
    self.inFlight = inFlight
    self.reconnects = reconnects
    self.isLost = isLost
  }
}

/// How a device has kept to rate limits.
package struct ThrottleStatistics: Codable, Sendable, Equatable {
  /// How often work had to wait.
  package var waits: UInt64
  /// Nanoseconds in which some did.
  package var time: UInt64

  package init(waits: UInt64, time: UInt64) {
    self.waits = waits
    self.time = time
  }
}

/// What a device has done for its driver, beside the messages that its server has counted.
package struct DeviceWork: Codable, Sendable {
  package var kinds: [WorkStatistics]
  /// How many have failed.
  package var failures: UInt64
  /// How many are in progress.
  package var inFlight: UInt64
  /// How long some of them took, from the moment that the device has seen them: one of ``sampling``.
  package var times: LatencyHistogram
  /// The servers that have its data; nil for none.
  package var remotes: [RemoteStatistics]?
  /// Nil for a device that never had a limit.
  package var throttle: ThrottleStatistics?

  /// The share of work whose time is measured.
  package static let sampling: UInt64 = 16

  package init(
    _ kinds: [WorkStatistics], failures: UInt64, inFlight: UInt64, times: LatencyHistogram
  ) {
    self.kinds = kinds
    self.failures = failures
    self.inFlight = inFlight
    self.times = times
  }
}

/// A device that counts its work.
package protocol CountingDevice: Device {
  /// What it has done; from any thread, without waiting for the device.
  var work: DeviceWork { get }
}
