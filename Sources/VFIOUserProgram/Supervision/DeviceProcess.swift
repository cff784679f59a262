internal import CLinux
internal import Glibc
internal import LinuxPrimitives

/// A process that a supervisor is to have: which devices it serves, and how it is started.
package struct ProcessPlan: Codable, Equatable, Sendable {
  package var devices: [Device]
  /// The command line behind the program's name.
  package var arguments: [String]
  /// Whether the process is for one device, and so has the options of the command line; one for several reads the
  /// configuration file.
  package var isAlone: Bool

  /// A device, as far as the supervisor knows it.
  package struct Device: Codable, Equatable, Sendable {
    /// The absolute path of its socket, by which it is called.
    package var socket: String
    package var request: DeviceRequest
  }

  /// A process for one device: the command line that serves it alone.
  ///
  /// - Parameter options: of the process.
  package static func alone(
    _ request: DeviceRequest, socket: String, options: [String]
  ) -> ProcessPlan {
    ProcessPlan(
      devices: [Device(socket: socket, request: request)],
      arguments: ["serve", request.kind] + request.arguments + options, isAlone: true)
  }

  /// A process for the devices of a configuration file that have none of their own.
  ///
  /// - Parameter arguments: the command line that serves exactly these.
  package static func shared(
    _ devices: [(DeviceRequest, socket: String)], arguments: [String]
  ) -> ProcessPlan {
    ProcessPlan(
      devices: devices.map { Device(socket: $0.socket, request: $0.0) }, arguments: arguments,
      isAlone: false)
  }

  /// Changes rate limits of one of the devices; the command line has those of a device that is alone.
  ///
  /// - Parameter check: throws if there cannot be such a device.
  mutating func limit(_ parameters: LimitParameters, check: (DeviceRequest) throws -> Void) throws {
    for index in devices.indices where devices[index].socket == parameters.socket {
      let old = devices[index].request
      let new = old.limited(by: parameters.limits)
      try check(new)
      devices[index].request = new
      guard isAlone else { continue }
      let options = arguments.dropFirst(2 + old.arguments.count)
      self = .alone(new, socket: parameters.socket, options: Array(options))
    }
  }

  /// What the process is called in messages.
  var name: String { devices.map(\.socket).joined(separator: ", ") }
}

/// A process of a supervisor, and how often it has died.
struct DeviceProcess: Codable, Sendable {
  /// The first wait before a process is started again; it doubles each time.
  private static let firstWait: Duration = .milliseconds(100)
  private static let longestWait: Duration = .seconds(30)
  /// A process that has lived so long has not failed at its start.
  private static let longLife: Duration = .seconds(60)

  var plan: ProcessPlan
  /// 0 while there is none.
  var process: Int32 = 0
  /// Whether it has said that its devices are ready; until then its end is a failure of whoever has asked for it.
  var isReady = false
  /// When it was started, in nanoseconds of the monotonic clock.
  private var began: UInt64 = 0
  /// Deaths, one soon after the other.
  private var deaths = 0
  /// When it is started again; nil while it runs.
  private(set) var nextStart: UInt64?

  init(_ plan: ProcessPlan) { self.plan = plan }

  mutating func hasStarted(_ process: Int32) {
    self.process = process
    began = Deadline.now
    nextStart = nil
  }

  /// Its end is no death from now on.
  mutating func willEnd() {
    isReady = false
    nextStart = nil
  }

  /// The process has ended, or could not be started.
  ///
  /// - Returns: how long it takes until it is started again.
  mutating func hasEnded() -> Duration {
    // Not where a start has failed: `began` is that of the process before.
    if process > 0, Deadline.now &- began > Deadline.nanoseconds(Self.longLife) { deaths = 0 }
    process = 0
    let wait = min(Self.firstWait * (1 << min(deaths, 10)), Self.longestWait)
    deaths += 1
    nextStart = Deadline.after(wait).instant
    return wait
  }
}

/// How a process has ended, in words.
struct ProcessEnd: CustomStringConvertible {
  let status: Int32

  var description: String {
    let code = clinux_exit_code(status)
    guard code < 0 else { return "it has ended with exit code \(code)" }
    // Sound: the text is the C library's own, and is copied at once.
    let name = unsafe strsignal(-code).map { unsafe String(cString: $0) } ?? "unknown"
    return "signal \(-code) (\(name)) has ended it"
  }
}
