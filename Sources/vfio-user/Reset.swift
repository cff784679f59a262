import ArgumentParser
import CLinux
import VFIOUserClient
import VFIOUserProgram

/// `vfio-user reset`: resets a device.
struct ResetCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reset",
    abstract: "Reset a device to its state after power-on.",
    discussion: """
      Sends DEVICE_RESET and waits for the reply. What a reset does is the device's business: registers get their \
      first values, what is in progress is dropped; a disk keeps its data.

        vfio-user reset /tmp/dev.sock

      Exit codes: 0 done, 1 the device cannot be reset, refused, or is gone, 64 the command line is wrong.
      """)

  @Argument(help: "The device's UNIX socket.", completion: .file())
  var socket: String

  @Flag(help: "Send the command even if the device says that it has no reset.")
  var unchecked = false

  @Flag(help: "Print JSON for programs.")
  var json = false

  @OptionGroup var reply: ReplyOptions
  @OptionGroup var log: LogOptions

  private struct Report: Encodable {
    let microseconds: Double
  }

  func run() throws {
    log.bootstrap()
    try withDevice(socket, reply) { client in
      guard try unchecked || client.deviceInfo().flags.contains(.reset) else {
        throw CommandError(
          "the device says that it has no reset (VFIO_DEVICE_FLAGS_RESET). --unchecked sends the command all the same."
        )
      }
      let start = clinux_now()
      try client.reset()
      let took = clinux_now() - start
      try say(
        json ? lineJSON(Report(microseconds: Double(took) / 1e3)) : "reset in \(timeText(took))")
    }
  }
}
