import Foundation
import VFIOUserTransport

/// A virtual machine with our device plugged in, and a Linux in it that runs scripts for a test.
final class Guest {
  let commandLine: String
  /// What the kernel's log says about the port.
  let portMessage: String

  private let process: ChildProcess
  private let console: Console
  private let scratch: ScratchFolder
  private var scripts = 0

  /// Longest time from power-on to the prompt; two or three seconds are usual.
  private static let bootTimeout: Duration = .seconds(60)

  /// Boots.
  init(_ machine: Machine, with device: DeviceProcess) throws {
    scratch = try ScratchFolder()
    let initramfs = scratch.path("initramfs")
    try Data(Self.rootFileSystem()).write(to: URL(filePath: initramfs))
    let arguments =
      machine.arguments(device: device.socket)
      + ["-kernel", GuestEnvironment.kernel.path, "-initrd", initramfs]
      // Messages of the kernel would get between the lines of the scripts. The detector of soft
      // lockups has one when a whole transfer happens inside of one interrupt on a slow machine.
      + ["-append", "console=ttyS0 quiet loglevel=3 panic=-1"]
    commandLine = ([GuestEnvironment.qemu.path] + arguments).joined(separator: " ")
    let (channel, theirs) = try ByteChannel.pair(name: "console")
    console = Console(channel)
    process = try ChildProcess(
      GuestEnvironment.qemu, arguments, standardIO: theirs, log: scratch.path("qemu.log"))
    do {
      portMessage = try console.lines(until: "@@ready ", within: Self.bootTimeout).rest
    } catch {
      let console = console.transcript.joined(separator: "\n")
      throw HarnessFailure(
        "\(commandLine)\n\(error)\n\(console)\n\(process.whatItSaid)\n\(device.whatItSaid)")
    }
  }

  /// What it said so far, for messages about failures.
  var whatItSaid: String {
    "\(commandLine)\nconsole:\n\(console.transcript.joined(separator: "\n"))\n\(process.whatItSaid)"
  }

  /// Pulls the plug.
  func kill() { process.kill() }

  /// Runs a script and waits for its end.
  ///
  /// - Returns: what it printed, without the newline at the end.
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

  func end(_ script: String, within timeout: Duration = .seconds(150)) throws -> String {
    let (lines, status) = try console.lines(until: "@@end \(scripts) ", within: timeout)
    let output = lines.joined(separator: "\n").trimmingCharacters(in: .newlines)
    guard status == "0" else {
      throw HarnessFailure("status \(status) of \"\(script)\" in the guest, which said:\n\(output)")
    }
    return output
  }

  private static func rootFileSystem() throws -> [UInt8] {
    var files = Initramfs()
    files.addFolder("bin")
    files.addFile(
      "bin/busybox", try [UInt8](Data(contentsOf: GuestEnvironment.busybox)), isExecutable: true)
    files.addFile("init", Array(GuestInit.script.utf8), isExecutable: true)
    files.addFile("from-guest", Payload.fromGuest)
    files.addFile("to-guest", Payload.toGuest)
    return files.finished()
  }
}

/// What the guest's kernel knows about the port.
extension Guest {
  /// The count of /proc/interrupts for the port's line.
  func interrupts() throws -> Int {
    let text = try run("interrupts")
    guard let count = Int(text) else { throw HarnessFailure("no count of interrupts: '\(text)'") }
    return count
  }

  /// The driver's own counters: `tx` and `rx`; for errors also `oe` (overrun), `fe` and so on.
  func counters() throws -> [String: Int] {
    let pairs = try run("counters").split(separator: " ").map { $0.split(separator: ":") }
    return Dictionary(
      pairs.compactMap { pair in
        pair.count == 2 ? Int(pair[1]).map { (String(pair[0]), $0) } : nil
      }, uniquingKeysWith: { first, _ in first })
  }
}
