import SystemPackage
import VFIOUserClient
import VFIOUserProgram

/// Connects to the device behind a socket, runs a body, and disconnects; errors are translated for the user.
func withDevice<Result>(_ socket: String, _ body: (Client) throws -> Result) throws -> Result {
  var wasReached = false
  do {
    let client = try Client(connectingTo: FilePath(socket), options: .inspecting)
    wasReached = true
    defer { client.disconnect() }
    return try body(client)
  } catch let error as ClientError {
    throw CommandError(
      error, device: socket, example: "scratch --socket \(socket)", wasReached: wasReached)
  }
}

extension ClientOptions {
  /// Those of a command that looks at a device: everything is proposed, so that the device says what it can.
  static var inspecting: ClientOptions {
    var options = ClientOptions()
    options.proposal.migration = MigrationCapability(pageSize: 4096, maxBitmapSize: 256 << 20)
    return options
  }
}
