import TestSupport
import VFIOUserTransport

/// A virtual machine that is left to its firmware, SeaBIOS unless told otherwise, without a kernel from
/// outside.
enum Firmware {
  /// Powers a machine on and waits for a line on the serial port.
  static func awaitLine(
    _ line: String, on machine: Machine, options: [String], within timeout: Duration = .seconds(60)
  ) throws {
    let scratch = try ScratchFolder()
    let (channel, theirs) = try ByteChannel.pair(name: "console")
    let process = try ChildProcess(
      GuestEnvironment.qemu, machine.arguments + options, standardIO: theirs,
      log: scratch.path("qemu.log"))
    defer { process.kill() }
    let console = Console(channel)
    do {
      _ = try console.lines(until: line, within: timeout)
    } catch {
      let said = console.transcript.joined(separator: "\n")
      throw HarnessError("\(error)\n\(said)\n\(process.whatItSaid)")
    }
  }
}
