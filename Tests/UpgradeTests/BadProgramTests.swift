import Foundation
import Glibc
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProgram

/// A new program that does not work costs nobody a device.
@Suite(.timeLimit(.minutes(3))) struct `A new program that is tried` {
  /// A script in place of `text`, or a path.
  @Test(arguments: [
    ("/bin/true", "ended without a yes"),
    ("/bin/false", "ended with exit code 1"),
    ("/nonexistent/program", "cannot be executed: No such file or directory"),
    ("/etc/passwd", "cannot be executed: Permission denied"),
    ("/tmp", "cannot be executed: Permission denied"),
    ("script: kill -SEGV $$", "was ended by signal 11"),
    ("script: echo 'not today' >&2; exit 70", "ended with exit code 70; it said: not today"),
    ("script: echo vfio-user-upgrade: yes; exit 1", "ended with exit code 1"),
    ("script: echo vfio-user-upgrade: no", "ended without a yes"),
    ("script: head -c 10000000 /dev/zero", "ended without a yes"),
  ])
  func `A new program that fails its trial is refused with the reason, and the old one goes on`(
    _ program: String, _ reason: String
  ) throws {
    // A confined process executes no scripts.
    let running = try UpgradableProcess("edu", "--sandbox", "off")
    let client = try Client(connectingTo: FilePath(running.socket))
    try client.store(UInt32(0x1234_5678), .bar0, at: 4)
    let path =
      program.hasPrefix("script: ")
      ? try running.script("new", String(program.dropFirst(8))) : program
    for _ in 0..<2 {
      let run = try running.upgrade(to: path)
      #expect(run.exitCode == 1)
      #expect(run.errors.contains(reason), "\(run.errors)")
      #expect(try client.load(.bar0, at: 4) == ~UInt32(0x1234_5678))
    }
    #expect(running.process.whatItSaid.contains("the program is not replaced, and goes on"))
    // And it is replaced by one that works.
    try running.upgradeWell()
    #expect(try client.load(.bar0, at: 4) == ~UInt32(0x1234_5678))
    client.disconnect()
  }

  @Test func `A new program that hangs in its trial is ended with all that it has started`() throws
  {
    let running = try UpgradableProcess("edu", "--sandbox", "off")
    let client = try Client(connectingTo: FilePath(running.socket))
    let path = try running.script(
      "new", "sleep 4711 & echo $! > \(running.scratch.path("pid")); wait")
    let run = try running.upgrade(to: path)
    #expect(run.exitCode == 1)
    #expect(run.errors.contains("did not say within 10.0 seconds"), "\(run.errors)")
    let text = try String(contentsOfFile: running.scratch.path("pid"), encoding: .utf8)
    let sleeper = try #require(Int32(text.trimmingCharacters(in: .newlines)))
    #expect(eventually { kill(sleeper, 0) < 0 })
    #expect(try client.load(.bar0, at: 0, as: UInt32.self) == 0x0100_00ED)
    client.disconnect()
  }

  @Test func `A new program with other devices is refused`() throws {
    let running = try UpgradableProcess("edu", "--sandbox", "off")
    // The command line is the old one's; a program that makes something else of it is another.
    let path = try running.script(
      "new",
      "exec \(UpgradableProcess.program.path) serve serial --stdio --socket \(running.socket)")
    let run = try running.upgrade(to: path)
    #expect(run.exitCode == 1)
    #expect(run.errors.contains("ended with exit code 1"), "\(run.errors)")
    let second = try running.script(
      "other", "exec \(UpgradableProcess.program.path) serve edu --socket /tmp/another")
    let refused = try running.upgrade(to: second)
    #expect(refused.errors.contains("is not among those that this program serves"))
    try running.upgradeWell()
  }
}

@Suite(.timeLimit(.minutes(3))) struct `A new program that fails after its trial` {
  @Test(arguments: [
    ("crash", "SIG"), ("throw", "Bad address"), ("hang", "timeout"), ("exit", "it has ended"),
  ])
  func `A new program that fails when it takes over is replaced by the old one again`(
    _ trouble: String, _ reason: String
  ) throws {
    let scratch = try ScratchFolder()
    let file = scratch.path("trouble")
    let program = scratch.path("program")
    try install(program)
    let running = try UpgradableProcess(URL(filePath: program), ["--trouble", file], scratch)
    try running.upgradeWell()
    let client = try Client(connectingTo: FilePath(running.socket))
    #expect(try client.load(.bar0, at: 0, as: UInt32.self) == 7)
    running.process.send(SIGHUP)
    #expect(eventually { (try? client.load(.bar0, at: 0, as: UInt32.self)) == 8 })
    try "\(program) \(trouble)".write(toFile: file, atomically: true, encoding: .utf8)
    try install(program)
    let run = try running.upgrade()
    #expect(run.exitCode == 1)
    #expect(run.errors.contains("the new program has failed"), "\(run.errors)")
    #expect(
      running.process.whatItSaid.contains(reason), "\(running.process.whatItSaid)")
    #expect(try client.load(.bar0, at: 0, as: UInt32.self) == 8)
    let version = try ControlClient(process: running.process.processID).call("version")
    #expect(version["upgrades"] == .integer(1))
    // A better version comes to the same place, which has another file than the one that runs.
    let descriptors = running.process.settledDescriptors().count
    try FileManager.default.removeItem(atPath: file)
    try install(program)
    for _ in 0..<2 { try running.upgradeWell() }
    #expect(try client.load(.bar0, at: 0, as: UInt32.self) == 8)
    #expect(running.process.settledDescriptors().count == descriptors)
    client.disconnect()
  }

  /// Puts another file of the program at a path, as a package does.
  private func install(_ path: String) throws {
    try FileManager.default.copyItem(atPath: UpgradableProcess.other.path, toPath: path + ".new")
    // Sound: the strings are lent for the call.
    guard unsafe rename(path + ".new", path) == 0 else { throw HarnessError("rename: \(errno)") }
  }
}
