/// A requested device, and its place in a configuration.
package struct DeviceToServe {
  package let command: any DeviceCommand
  /// The name of the device among several; nil for the command line.
  let placeName: String?
  /// How it was asked for; nil in a program that serves one device of its own.
  let request: DeviceRequest?
  /// Adds the place of the device to an error.
  private let explain: (any Error) -> any Error

  package init(
    _ command: any DeviceCommand, placeName: String? = nil, request: DeviceRequest? = nil,
    explain: @escaping (any Error) -> any Error = { $0 }
  ) {
    self.command = command
    self.placeName = placeName
    self.request = request
    self.explain = explain
  }

  /// Logging for the device, with its name if there are several in this process or beside it.
  var log: DeviceLog {
    DeviceLog(name: placeName ?? (SupervisorLink.isThere ? command.socket.name : nil))
  }

  /// The name used in messages.
  var name: String {
    let socket = command.socket.name
    guard let placeName, placeName != socket else { return socket }
    return "\(placeName), \(socket)"
  }

  /// Runs `body` and adds the place of the device to its errors.
  func explaining<Result>(_ body: () throws -> Result) throws -> Result {
    do { return try body() } catch { throw explain(error) }
  }
}
