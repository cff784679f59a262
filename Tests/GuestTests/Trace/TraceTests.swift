import Foundation
import Glibc
import TestSupport
import Testing
import VFIOUserTransport

extension Guests {
  @Suite(.timeLimit(.minutes(5))) struct `A guest whose disk is behind a trace` {
    /// With private memory all that the disk reads and writes is in the recording, so that the fresh disk
    /// carries out the same commands.
    @Test(.enabled(if: Wireshark.isThere, "\(Wireshark.remedy)"), arguments: [true, false])
    func `A guest works as without, each message is understood, and a replay answers the same`(
      sharesMemory: Bool
    ) throws {
      let scratch = try ScratchFolder()
      let disk = try NVMeDisk(megabytes: 64)
      let recording = scratch.path("guest.pcapng")
      let trace = try TraceProcess(
        to: disk.device.socket, in: scratch, ["--summary", "--write", recording])
      let machine = Machine(sharesMemory: sharesMemory, memory: 512)
      try withGuest(
        machine, .disks, [disk.device], options: ["-device", machine.plug(trace.socket)]
      ) { guest in
        try guest.run("await_disk 0 && mke2fs -q -t ext4 /dev/nvme0n1 && mount /dev/nvme0n1 /mnt")
        try guest.run("cp /bin/busybox /mnt && sync && cmp /bin/busybox /mnt/busybox")
        try guest.run("umount /mnt && e2fsck -f -n /dev/nvme0n1")
        #expect(try guest.run("complaints || true").isEmpty)
      }
      let summary = try trace.finish()
      #expect(summary.contains("REGION_WRITE") && summary.contains("DMA_MAP"), "\(summary)")
      let violations = try ProgramRun(["trace", recording, "--violations"])
      #expect(violations.exitCode == 0)
      // The server asks once for more than a client may read, to find out how it takes sizes.
      let messages = violations.text.split(separator: "\n").filter { !$0.contains("!!") }
      #expect(messages.allSatisfy { $0.contains("count 4294967296") }, "\(violations.text)")

      let shown = try Wireshark(recording)
      #expect(try shown.count("vfio_user") == shown.count("frame") && shown.count("frame") > 100)
      #expect(try shown.count("_ws.malformed or vfio_user.malformed or _ws.lua.error") == 0)
      #expect(try shown.count("vfio_user.violation") == 0)

      let fresh = try NVMeDisk(megabytes: 64)
      // CSTS changes when the controller is ready, which is a matter of time; whether an interrupt is
      // pending (status register of PCI, bit 3) depends on commands that memory of zeros has not.
      let replay = try ProgramRun([
        "replay", recording, fresh.device.socket, "--mask", "bar0:0x1c-0x1f", "--mask", "config:6",
      ])
      #expect(replay.exitCode == 0, "\(replay.text)\n\(replay.errors)")
      record(summary + "\n" + replay.text)
    }
  }
}

/// `vfio-user trace`, running between a client and a device.
final class TraceProcess {
  let socket: String
  let process: ChildProcess
  private let output: ByteChannel

  init(to server: String, in scratch: ScratchFolder, _ arguments: [String]) throws {
    socket = scratch.path("traced")
    let (channel, theirs) = try ByteChannel.pair(name: "standard output of trace")
    output = channel
    process = try ChildProcess(
      GuestEnvironment.program,
      ["trace", "--listen", socket, "--connect", server] + arguments, standardIO: theirs,
      log: scratch.path("trace.log"))
    guard eventually({ isListening(on: scratch.path("traced")) }) else {
      throw HarnessError("trace does not listen\n\(process.whatItSaid)")
    }
  }

  /// Ends it as Ctrl-C does.
  ///
  /// - Returns: what stands on its standard output.
  func finish() throws -> String {
    process.send(SIGINT)
    var text: [UInt8] = []
    while let more = try output.receiveSome(before: .after(.seconds(20))) { text += more }
    let code = try process.exitCode()
    guard code == 0 else { throw HarnessError("trace: exit code \(code)\n\(process.whatItSaid)") }
    return String(decoding: text, as: UTF8.self)
  }
}

/// tshark, with the dissector of the program.
struct Wireshark {
  private let recording: String

  static let program = URL(filePath: "/usr/bin/tshark")
  static var isThere: Bool { FileManager.default.isExecutableFile(atPath: program.path) }
  static let remedy = "apt-get install --no-install-recommends tshark"

  private let scratch: ScratchFolder

  init(_ recording: String) throws {
    self.recording = recording
    scratch = try ScratchFolder()
    let script = try ProgramRun(["trace", "--dissector"])
    try script.output.write(to: URL(filePath: scratch.path("dissector.lua")))
  }

  /// How many packets a filter finds.
  func count(_ filter: String) throws -> Int {
    let run = try ProgramRun(
      Self.program,
      ["-X", "lua_script:\(scratch.path("dissector.lua"))", "-r", recording, "-Y", filter])
    guard run.exitCode == 0 else { throw HarnessError("tshark: \(run.errors)") }
    return run.text.split(separator: "\n").count
  }
}
