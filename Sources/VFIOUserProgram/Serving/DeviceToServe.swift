/// A requested device, and its place in a configuration.
package struct DeviceToServe {
  let command: any DeviceCommand
  /// The name of the device among several; nil for the command line.
  let placeName: String?
  /// Adds the place of the device to an error.
  private let explain: (any Error) -> any Error

  package init(
    _ command: any DeviceCommand, placeName: String? = nil,
    explain: @escaping (any Error) -> any Error = { $0 }
  ) {
    self.command = command
    self.placeName = placeName
    self.explain = explain
  }

  /// Logging for the device, with its name if there are several.
  var log: DeviceLog { DeviceLog(name: placeName) }

  /// The name used in messages.
  var name: String {
    [placeName, command.socket.name].compactMap { $0 }.joined(separator: ", ")
  }

  /// Runs `body` and adds the place of the device to its errors.
  func explaining<Result>(_ body: () throws -> Result) throws -> Result {
    do { return try body() } catch { throw explain(error) }
  }
}
