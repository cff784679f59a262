package import ArgumentParser
package import Logging
internal import VFIOUserServer

/// A command that serves a device.
package protocol DeviceCommand: ParsableCommand {
  var socket: SocketOptions { get }
  var log: LogOptions { get }

  /// Checks whether the device's resources are available, without creating any.
  func look() throws

  /// Opens the device's resources.
  func openDevice(_ log: DeviceLog) throws -> ServedDevice
}

extension DeviceCommand {
  package func look() throws {}
}

/// Creates loggers that identify the device.
package struct DeviceLog {
  /// The name of the device among several; nil if there is only one.
  var name: String?

  package init(name: String? = nil) { self.name = name }

  package func logger(_ label: String) -> Logger {
    var logger = Logger(label: label)
    if let name { logger[metadataKey: "device"] = "\(name)" }
    return logger.limited
  }
}
