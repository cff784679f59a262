package import VFIOUserServer

/// The answer to `list`.
package struct DeviceList: Codable, Sendable {
  package struct Device: Codable, Sendable {
    /// The absolute path of its socket, or what the socket is called.
    package var socket: String
    package var kind: String
    /// What it was asked for with; nil in a program that serves one device of its own.
    package var arguments: [String]?
    /// The process of the present client; nil without one.
    package var client: Int32?
    /// How to plug it into QEMU.
    package var qemu: String?
    /// A line that its user needs, as the path of a terminal.
    package var notice: String?
    /// The process that serves it, if that is not the one that answers; 0 while it has none.
    package var process: Int32?
  }

  package var devices: [Device]
}

/// What identifies a device in a request.
package struct DeviceParameters: Codable, Sendable {
  package var socket: String

  package init(socket: String) { self.socket = socket }
}

/// The parameters of `remove`.
package struct RemoveParameters: Codable, Sendable {
  package var socket: String
  package var force: Bool?

  package init(socket: String, force: Bool) {
    self.socket = socket
    self.force = force
  }
}

/// The parameters of `resize`.
package struct ResizeParameters: Codable, Sendable {
  package var socket: String
  /// The number of the namespace, from 1; else the only one.
  package var namespace: Int?
  /// The new size, as `20G`; else the size that the file has by now.
  package var size: String?

  package init(socket: String, namespace: Int?, size: String?) {
    self.socket = socket
    self.namespace = namespace
    self.size = size
  }
}

/// Parameters of `stats` and `limits`.
package struct SelectionParameters: Codable, Sendable {
  /// One device; else all of them.
  package var socket: String?

  package init(socket: String? = nil) { self.socket = socket }
}

/// The parameters of `log-level`, and its answer.
package struct LogLevelParameters: Codable, Sendable {
  /// The level to be set; nil to ask only.
  package var level: String?

  package init(level: String?) { self.level = level }
}

/// The answer to `version`.
package struct ProcessVersion: Codable, Sendable {
  package var version: String
  package var process: Int32
  /// Seconds since the process began to serve, or since its last upgrade.
  package var uptime: Double
  package var upgrades: Int
  /// How the process is confined; nil from a version that knows of no sandbox.
  package var sandbox: String?
}

/// The answer to `configuration`.
package struct ConfigurationText: Codable, Sendable {
  /// A file for `vfio-user serve --config`.
  package var text: String
}

/// The answer to `stats`.
package struct ProcessStatistics: Codable, Sendable {
  package struct Device: Codable, Sendable {
    package var socket: String
    package var kind: String
    package var statistics: ServerStatistics
    /// The process that serves it, if that is not the one that answers.
    package var process: Int32?
  }

  package var process: Int32
  package var version: String
  /// Nanoseconds of the monotonic clock.
  package var time: UInt64
  package var use: ProcessUse
  package var devices: [Device]
}

/// The answer to `limits`.
package struct ProcessLimits: Codable, Sendable {
  /// A limit, and how much of it is used.
  package struct Limit: Codable, Sendable {
    package var name: String
    package var used: UInt64?
    /// Nil if there is no limit.
    package var limit: UInt64?
    /// How much of a rate there may be at once; nil if that was not said.
    package var burst: UInt64?

    package init(name: String, used: UInt64?, limit: UInt64?, burst: UInt64? = nil) {
      (self.name, self.used, self.limit, self.burst) = (name, used, limit, burst)
    }
  }

  package struct Device: Codable, Sendable {
    package var socket: String
    package var limits: [Limit]
  }

  package var process: [Limit]
  package var devices: [Device]
}

/// The parameters of `upgrade`.
package struct UpgradeParameters: Codable, Sendable {
  /// The absolute path of the new program; else the file that has the path of the running one.
  package var program: String?

  package init(program: String?) { self.program = program }
}

/// A method, in the answer to `methods`.
struct MethodDescription: Codable, Sendable {
  var name: String
  var summary: String
  /// The names of its parameters.
  var parameters: [String]
}

/// The answer to `methods`.
struct MethodList: Codable, Sendable {
  var methods: [MethodDescription]
}
