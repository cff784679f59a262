import Foundation
import TestSupport
import VFIOUserTransport

/// A virtual machine with devices of ours, and a Linux in it that runs scripts for a test.
final class Guest {
  let commandLine: String
  /// What the start of the guest left in `$greeting`, see ``GuestInit``.
  let greeting: String
  /// QEMU's own control channel.
  let monitor: MachineMonitor

  private let process: ChildProcess
  private let console: Console
  private let scratch: ScratchFolder
  private var scripts = 0

  /// Longest time from power-on to the prompt; three or four seconds are usual.
  private static let bootTimeout: Duration = .seconds(90)

  /// Boots.
  ///
  /// - Parameters:
  ///   - image: nil when the root file system is on a disk.
  ///   - options: QEMU's, for the devices; see ``Machine/plug(_:id:_:)``.
  ///   - kernelArguments: beside those for the console.
  init(
    _ machine: Machine, _ image: GuestImage?, options: [String], kernelArguments: String = ""
  ) throws {
    scratch = try ScratchFolder()
    let initramfs = try image.map { ["-initrd", try $0.archive()] } ?? []
    let arguments =
      machine.arguments + options
      + ["-qmp", "unix:\(scratch.path("qmp")),server=on,wait=off"]
      + ["-kernel", GuestEnvironment.kernel.path] + initramfs
      // Messages of the kernel would get between the lines of the scripts. The detector of soft
      // lockups has one when a whole transfer happens inside of one interrupt on a slow machine.
      + ["-append", "console=ttyS0 quiet loglevel=3 panic=-1 \(kernelArguments)"]
    commandLine = ([GuestEnvironment.qemu.path] + arguments).joined(separator: " ")
    let (channel, theirs) = try ByteChannel.pair(name: "console")
    console = Console(channel)
    process = try ChildProcess(
      GuestEnvironment.qemu, arguments, standardIO: theirs, log: scratch.path("qemu.log"))
    monitor = MachineMonitor(scratch.path("qmp"))
    do {
      greeting = try console.lines(until: "@@ready ", within: Self.bootTimeout).rest
    } catch {
      let console = console.transcript.joined(separator: "\n")
      throw HarnessError("\(commandLine)\n\(error)\n\(console)\n\(process.whatItSaid)")
    }
  }

  /// What it said so far, for messages about failures.
  var whatItSaid: String {
    "\(commandLine)\nconsole:\n\(console.transcript.joined(separator: "\n"))\n\(process.whatItSaid)"
  }

  /// Whether QEMU reaches a region of a device without messages.
  var hasMappedRegion: Bool { process.memoryFileMappings("vfio-user-region") > 0 }

  /// Pulls the plug.
  func kill() { process.kill() }

  /// Runs a script and waits for its end.
  ///
  /// - Returns: what it printed, without the newline at the end.
  @discardableResult
  func run(_ script: String, within timeout: Duration = .seconds(150)) throws -> String {
    try begin(script)
    return try end(script, within: timeout)
  }

  /// Starts a script; ``end(_:within:)`` waits for it.
  func begin(_ script: String) throws {
    scripts += 1
    try console.send("\(script)\n@@run \(scripts)\n")
    _ = try console.lines(until: "@@begin \(scripts)", within: .seconds(150))
  }

  /// Waits until the script that runs says a line that begins with `mark`.
  ///
  /// - Returns: the rest of that line.
  @discardableResult
  func awaitLine(_ mark: String, within timeout: Duration = .seconds(150)) throws -> String {
    try console.lines(until: mark, within: timeout).rest
  }

  func end(_ script: String, within timeout: Duration = .seconds(150)) throws -> String {
    let (lines, status) = try console.lines(until: "@@end \(scripts) ", within: timeout)
    let output = lines.joined(separator: "\n").trimmingCharacters(in: .newlines)
    guard status == "0" else {
      throw HarnessError("status \(status) of \"\(script)\" in the guest, which said:\n\(output)")
    }
    return output
  }
}
