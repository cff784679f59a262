import ArgumentParser
import NVMeDevice
import VFIOUserProgram

/// How a disk uses NBD servers.
struct NBDOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Connections to an NBD server, 1 to 16. Otherwise 4 where the server says that a flush is about all of them, else 1.",
      valueName: "number"))
  var nbdConnections: Int?

  @Option(
    help: ArgumentHelp(
      "How long a command waits for an NBD server that is lost or does not answer, before it fails.",
      valueName: "seconds"))
  var nbdTimeout = 25

  @Option(
    help: ArgumentHelp(
      "Memory for written data that is not flushed yet, which is written again when an NBD server was lost; 0 for none. Without, or when it does not suffice, the next flush fails.",
      valueName: "size"))
  var nbdReplay = "64M"

  /// The parsed values.
  func settings() throws -> NBDSettings {
    var settings = NBDSettings()
    settings.connections = nbdConnections
    settings.timeout = .seconds(nbdTimeout)
    settings.replay = try replay()
    return settings
  }

  func replay() throws -> Int {
    if nbdReplay == "0" { return 0 }
    guard let count = ByteCount(argument: nbdReplay), count.bytes <= 1 << 40 else {
      throw ValidationError(
        "--nbd-replay takes a size up to 1T, 64M for example, or 0, not '\(nbdReplay)'.")
    }
    return Int(count.bytes)
  }
}
