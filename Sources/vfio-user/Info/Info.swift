import ArgumentParser
import SystemPackage
import VFIOUserClient
import VFIOUserInspection
import VFIOUserProgram

/// `vfio-user info`: describes a device.
struct Info: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show what the device behind a socket is and has.",
    discussion: """
      Connects as a VMM would, and prints identity, what was negotiated, regions with what can be mapped of them, \
      interrupts, configuration space register by register as `lspci -vv` does, and whether the device can be saved \
      and migrated. Where what it says at one place contradicts another, that is a line "Problem:" (problems in JSON). It \
      is only asked, and stays as it is. A device serves one client at a time: \
      one that a VMM uses answers that it is busy.

        vfio-user info /tmp/disk.sock
        vfio-user info --json /tmp/disk.sock | jq .negotiated
        vfio-user info --hex /tmp/disk.sock > space && lspci -F space -vv

      Names of vendors and classes come from pci.ids, where the machine has it (Debian's package pci.ids).

      Exit codes: 0 done, 1 the device cannot be reached or does not answer, 64 the command line is wrong.
      """)

  @Argument(help: "The device's UNIX socket.", completion: .file())
  var socket: String

  @Flag(help: "Print JSON for programs.")
  var json = false

  @Flag(help: "Print configuration space in hexadecimal, as lspci -xxxx does, and nothing else.")
  var hex = false

  @OptionGroup var reply: ReplyOptions
  @OptionGroup var log: LogOptions

  func validate() throws {
    guard !(json && hex) else {
      throw ValidationError("--json and --hex are two ways to print; choose one.")
    }
  }

  func run() throws {
    log.bootstrap()
    try withDevice(socket, reply) { client in
      let summary = try DeviceSummary(of: client, names: PCINames())
      if hex {
        let space = try ConfigurationBytes(of: client)
        return try say(HexDump.configurationSpace(space, title: summary.title))
      }
      try say(json ? summary.json() : summary.text)
      if !json, let more = summary.more(at: socket) { try say(more) }
    }
  }
}
