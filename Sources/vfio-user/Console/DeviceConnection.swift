import ArgumentParser
import SystemPackage
import VFIOUserClient
import VFIOUserProgram

/// How long a command waits for a device.
struct ReplyOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("How long to wait for each reply of the device.", valueName: "seconds"),
    transform: Number.seconds)
  var replyTimeout: Double = 5

  func validate() throws {
    guard replyTimeout > 0 else { throw ValidationError("--reply-timeout takes a time above 0.") }
  }
}

/// Connects to the device behind a socket, runs a body, and disconnects; errors are translated for the user.
func withDevice<Result>(
  _ socket: String, _ waits: ReplyOptions, _ body: (Client) throws -> Result
) throws -> Result {
  var wasReached = false
  do {
    var options = ClientOptions.inspecting
    options.timeout = .seconds(waits.replyTimeout)
    let client = try Client(connectingTo: FilePath(socket), options: options)
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
