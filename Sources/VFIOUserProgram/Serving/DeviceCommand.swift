package import ArgumentParser
package import Logging
package import VFIOUserServer

/// A command that serves a device.
package protocol DeviceCommand: ParsableCommand {
  var socket: SocketOptions { get }
  var log: LogOptions { get }

  /// What the process of the device may be and have.
  var privileges: ProcessPrivileges { get }

  /// Checks whether the device's resources are available, without creating any.
  func look() throws

  /// The type of the device, so that a trial can check a state without opening anything; nil if it is not known.
  var deviceType: (any SavableDevice.Type)? { get }

  /// Opens the device's resources.
  func openDevice(_ log: DeviceLog) throws -> ServedDevice
}

extension DeviceCommand {
  package var privileges: ProcessPrivileges { .unchanged }
  package func look() throws {}
  package var deviceType: (any SavableDevice.Type)? { nil }
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
