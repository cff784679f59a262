import ArgumentParser
import CLinux
import Logging
import VFIOUserServer
import VFIOUserTransport

/// A subcommand of `serve`, which is also a kind of table in a configuration file.
protocol DeviceCommand: ParsableCommand {
  /// What was said before the subcommand.
  var parent: Serve { get }
  var socket: SocketOptions { get }
  var log: LogOptions { get }

  /// What no other device of the process may have.
  var claims: [ExclusiveResource] { get }

  /// Whether the device has standard output to itself.
  var usesStandardOutput: Bool { get }

  /// Looks whether what the device is made of can be had, and makes nothing.
  func look() throws

  /// Opens what the device is made of.
  func openDevice(_ log: DeviceLog) throws -> ServedDevice
}

extension DeviceCommand {
  var usesStandardOutput: Bool { false }

  func look() throws {}
}

/// Says of what a device logs that it is of that device.
struct DeviceLog {
  /// The device among several; nil when it is alone.
  var name: String?

  func logger(_ label: String) -> Logger {
    var logger = Logger(label: label)
    if let name { logger[metadataKey: "device"] = "\(name)" }
    return logger.limited
  }

  /// For the device's server.
  var serverOptions: ServerOptions {
    var options = ServerOptions()
    options.logger = logger(options.logger.label)
    return options
  }
}

/// A device that is about to be served.
struct ServedDevice {
  let description: PCIDescription
  /// What the user has to know of it.
  var notice: String?
  /// Removes what was made for it just now, when it is not served after all.
  var removeMadeFiles: () -> Void = {}
  let make: (DeviceContext) throws -> RunningDevice

  /// Makes the device and its server; when that fails, what was made for it is removed.
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

/// A device that runs, and what it wants of the process that serves it.
struct RunningDevice {
  let device: any Device
  /// Ends the device's threads and saves what has to be saved.
  var close: () -> Void = {}
  /// What SIGHUP is for.
  var hangup: (@Sendable () -> Void)?
}

/// Why a device's process ends when nobody has asked for it.
func noMoreClients(_ socket: String, _ failure: SystemCallError) -> CommandError {
  CommandError(
    "\(socket): no more clients are accepted: \(failure). Has somebody shut the socket down?")
}

/// Calls `body` at each SIGHUP, on a thread of its own; SIGHUP has to be blocked already.
func onHangup(_ body: @escaping @Sendable () -> Void) throws {
  try DetachedThread.start("hangup") {
    while clinux_wait_for_hangup() == 0 { body() }
  }
}
