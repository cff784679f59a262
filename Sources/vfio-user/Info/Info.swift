import ArgumentParser
import Foundation
import SystemPackage
import VFIOUserClient
import VFIOUserProgram

/// `vfio-user info`: describes a device.
struct Info: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show what the device behind a socket is and has.",
    discussion: """
      Connects as a VMM would, and prints identity, regions, interrupts, capabilities, and whether \
      the device can be saved and migrated. It is only asked, and stays as it is. A device serves one client at a time: \
      one that a VMM uses answers that it is busy.
      """)

  @Argument(help: "The device's UNIX socket.")
  var socket: String

  @Flag(help: "Print JSON for programs.")
  var json = false

  @OptionGroup var log: LogOptions

  func run() throws {
    log.bootstrap()
    var wasReached = false
    do {
      let client = try Client(connectingTo: FilePath(socket))
      wasReached = true
      let summary = try DeviceSummary(of: client)
      try say(json ? summary.json() : summary.text)
    } catch let error as ClientError {
      throw CommandError(
        error, device: socket, example: "scratch --socket \(socket)", wasReached: wasReached)
    }
  }
}
