import LinuxPrimitives
import ArgumentParser
import CLinux
import Logging
import VFIOUserServer

/// A subcommand of `serve`, which also is a kind of table in a configuration file.
protocol DeviceCommand: ParsableCommand {
  /// The parent command with its options.
  var parent: Serve { get }
  var socket: SocketOptions { get }
  var log: LogOptions { get }

  /// The resources that no other device of the process may use.
  var claims: [ExclusiveResource] { get }

  /// Whether the device uses standard output for itself.
  var usesStandardOutput: Bool { get }

  /// Checks whether the device's resources are available, without creating any.
  func look() throws

  /// Opens the device's resources.
  func openDevice(_ log: DeviceLog) throws -> ServedDevice
}

extension DeviceCommand {
  var usesStandardOutput: Bool { false }

  func look() throws {}
}

/// Creates loggers that identify the device.
struct DeviceLog {
  /// The name of the device among several; nil if there is only one.
  var name: String?

  func logger(_ label: String) -> Logger {
    var logger = Logger(label: label)
    if let name { logger[metadataKey: "device"] = "\(name)" }
    return logger.limited
  }

  /// The options of the device's server.
  var serverOptions: ServerOptions {
    var options = ServerOptions()
    options.logger = logger(options.logger.label)
    return options
  }
}

/// A device that is about to be served.
struct ServedDevice {
  let description: PCIDescription
  /// Information that the user needs.
  var notice: String?
  /// Removes files just created for the device, in case it is not served after all.
  var removeMadeFiles: () -> Void = {}
  let make: (DeviceContext) throws -> RunningDevice

  /// Creates the device and its server; on failure removes files created for it.
  func plug(_ options: ServerOptions) throws -> (DeviceServer, RunningDevice) {
    do {
      var running: RunningDevice?
      let server = try DeviceServer(description, options) { context in
        let made = try make(context)
        running = made
        return made.device
      }
      return (server, running ?? RunningDevice(device: server.device))
    } catch {
      removeMadeFiles()
      throw error
    }
  }
}

/// A running device, and what it requires of the process that serves it.
struct RunningDevice {
  let device: any Device
  /// Stops the device's threads and saves its state.
  var close: () -> Void = {}
  /// The action on SIGHUP.
  var hangup: (@Sendable () -> Void)?
}

/// The error if a device's process ends without having been asked to.
func noMoreClients(_ socket: String, _ failure: SystemCallError) -> CommandError {
  CommandError(
    "\(socket): no more clients are accepted: \(failure). Has somebody shut the socket down?")
}

/// Calls `body` on each SIGHUP, on its own thread; SIGHUP must already be blocked.
func onHangup(_ body: @escaping @Sendable () -> Void) throws {
  try DetachedThread.start("hangup") {
    while clinux_wait_for_hangup() == 0 { body() }
  }
}
