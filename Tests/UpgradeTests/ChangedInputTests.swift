import Foundation
import Glibc
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserTransport

/// What a program reads at its start is another thing by the time of its upgrade.
@Suite(.timeLimit(.minutes(3))) struct `An upgrade after something has changed` {
  @Test
  func `A disk whose file has grown or shrunk is upgraded with the size that its guest knows`()
    throws
  {
    let scratch = try ScratchFolder()
    let file = scratch.path("disk.img")
    _ = FileManager.default.createFile(atPath: file, contents: nil)
    // Sound: the strings are lent for the calls, here and below.
    _ = unsafe truncate(file, 64 << 20)
    let running = try UpgradableProcess(
      UpgradableProcess.program, ["serve", "nvme", "--file", file], scratch)
    let client = try Client(connectingTo: FilePath(running.socket))
    for size in [128, 32, 64] as [off_t] {
      _ = unsafe truncate(file, size << 20)
      try running.upgradeWell()
      #expect(try client.load(.bar0, at: 8, as: UInt32.self) != 0)
    }
    client.disconnect()
  }

  @Test(arguments: [
    // The new program starts with new memory, whose state is not that of the disk.
    (#"namespace = [{ memory = "32M" }]"#, "", "the new program has failed"),
    (
      #"namespace = [{ memory = "16M" }]"#,
      "[[nvme]]\nsocket = \"c\"\nfile = \"/nonexistent/disk.img\"\n", "/nonexistent"
    ),
  ])
  func `A configuration file that does not work any more costs no device`(
    _ disk: String, _ more: String, _ reason: String
  ) throws {
    func text(_ disk: String) -> String {
      "[[edu]]\nsocket = \"a\"\n[[nvme]]\nsocket = \"b\"\n\(disk)\n"
    }
    let before = text(#"namespace = [{ memory = "16M" }]"#)
    let running = try UpgradableProcess(configuration: before, sockets: ["a", "b"])
    let clients = try running.sockets.map { try Client(connectingTo: FilePath($0)) }
    try (text(disk) + more).write(
      toFile: running.scratch.path("devices.toml"), atomically: true, encoding: .utf8)
    for _ in 0..<2 {
      let run = try running.upgrade()
      #expect(run.exitCode == 1 && run.errors.contains(reason), "\(run.errors)")
      for client in clients {
        #expect(try client.load(.configuration, at: 0, as: UInt16.self) != 0)
      }
    }
    try before.write(
      toFile: running.scratch.path("devices.toml"), atomically: true, encoding: .utf8)
    try running.upgradeWell()
    for client in clients {
      #expect(try client.load(.configuration, at: 0, as: UInt16.self) != 0)
      client.disconnect()
    }
  }

  @Test(arguments: ["serve edu", "serve edu --systemd", "serve edu --fd 3"])
  func `A socket-activated device is upgraded`(_ line: String) throws {
    let scratch = try ScratchFolder()
    let listener = try ListeningSocket(path: FilePath(scratch.path("device")))
    let process = try ChildProcess(
      URL(filePath: "/bin/sh"),
      [
        "-c",
        "exec 3<&0 </dev/null >/dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \(line)",
        UpgradableProcess.program.path,
      ],
      standardIO: FileHandle(
        fileDescriptor: try listener.descriptor.duplicate().release(), closeOnDealloc: true),
      log: scratch.path("log"))
    let client = try Client(connectingTo: FilePath(scratch.path("device")))
    for _ in 0..<3 {
      let run = try ProgramRun(
        UpgradableProcess.program, ["upgrade", "--pid", "\(process.processID)"])
      #expect(run.exitCode == 0, "\(run.errors)\n\(process.whatItSaid)")
      #expect(try client.load(.bar0, at: 0, as: UInt32.self) == 0x0100_00ED)
    }
    client.disconnect()
    #expect(
      try Client(connectingTo: FilePath(scratch.path("device")))
        .load(.bar0, at: 0, as: UInt32.self) == 0x0100_00ED)
  }

  @Test func `A second request is refused while an upgrade is under way`() throws {
    // A confined process executes no scripts.
    let running = try UpgradableProcess("edu", "--sandbox", "off")
    let slow = try running.script("slow", "sleep 1; echo not now; exit 1")
    let first = Monitor<String?>(nil)
    let process = running.process.processID
    try DetachedThread.start("first") {
      let run = try? ProgramRun(
        UpgradableProcess.program, ["upgrade", "--pid", "\(process)", "--program", slow])
      first.update { $0 = run?.errors ?? "" }
    }
    usleep(500_000)
    let second = try running.upgrade()
    #expect(second.exitCode == 1 && second.errors.contains("another upgrade is under way"))
    let ended = first.withLock(when: { $0 != nil }, before: .after(.seconds(10))) { $0 }
    #expect(ended??.contains("not now") == true)
    try running.upgradeWell()
  }

  @Test func `Signals are blocked and ignored after an upgrade as before`() throws {
    let running = try UpgradableProcess("edu")
    func signals() -> [Substring] {
      running.process.status(of: "status").split(separator: "\n")
        .filter { $0.hasPrefix("SigBlk") || $0.hasPrefix("SigIgn") || $0.hasPrefix("SigCgt") }
    }
    let before = signals()
    for _ in 0..<2 { try running.upgradeWell() }
    #expect(signals() == before)
  }
}
