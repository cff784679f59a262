import Foundation
import Glibc
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient

/// Lines of the status of each thread of a process that begin so.
private func threads(of process: Int32, _ line: String) -> [String] {
  let folder = "/proc/\(process)/task"
  let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
  return names.compactMap { name in
    let text = try? String(contentsOfFile: "\(folder)/\(name)/status", encoding: .utf8)
    return text?.split(separator: "\n").first { $0.hasPrefix(line) }.map(String.init)
  }
}

@Suite(.timeLimit(.minutes(2))) struct `A confined process` {
  private let disk = ["--memory", "16M"]

  @Test func `leaves no thread outside, whatever it serves, and adds nothing in an upgrade`() throws
  {
    let scratch = try ScratchFolder()
    let running = try UpgradableProcess(
      configuration: """
        sandbox = "strict"
        [[nvme]]
        socket = "\(scratch.path("a"))"
        file = "\(scratch.path("a.img"))"
        size = "16M"
        engine = "ring"
        [[serial]]
        socket = "\(scratch.path("b"))"
        pty = true
        [[edu]]
        socket = "\(scratch.path("c"))"
        [[scratch]]
        socket = "\(scratch.path("d"))"
        """, sockets: [])
    let clients = try ["a", "b", "c", "d"].map {
      try Client(connectingTo: FilePath(scratch.path($0)))
    }
    for _ in 0..<3 {
      let process = running.process.processID
      let counts = threads(of: process, "Threads:")
      #expect(counts.count > 12)
      for (line, value) in [
        ("NoNewPrivs:", "1"), ("Seccomp:", "2"), ("Seccomp_filters:", "1"),
        ("CapEff:", "0000000000000000"), ("CapBnd:", "0000000000000000"),
      ] {
        let all = threads(of: process, line)
        #expect(all.count >= 12 && Set(all) == ["\(line)\t\(value)"], "\(all)")
      }
      try running.upgradeWell()
    }
    withExtendedLifetime(clients) {}
  }

  @Test func `executes a new version that was installed over the old one, asked or by a signal`()
    throws
  {
    let scratch = try ScratchFolder()
    let installed = scratch.path("vfio-user")
    func install() throws {
      let new = scratch.path("new")
      try FileManager.default.copyItem(atPath: UpgradableProcess.program.path, toPath: new)
      guard unsafe rename(new, installed) == 0 else { throw HarnessError("rename: \(errno)") }
    }
    try install()
    let running = try UpgradableProcess(
      URL(filePath: installed), ["serve", "nvme"] + disk, scratch)
    let client = try Client(connectingTo: FilePath(running.socket))
    try install()
    try running.upgradeWell()
    try install()
    running.process.send(SIGUSR2)
    #expect(
      eventually {
        running.process.whatItSaid.components(separatedBy: "the program was replaced").count == 3
      }, "\(running.process.whatItSaid)")
    #expect(try client.load(.bar0, at: 0x08, as: UInt32.self) == 0x0001_0400)
    // The name by which the next version is found has stayed.
    try install()
    try running.upgradeWell()
    try FileManager.default.removeItem(atPath: installed)
    #expect(try running.upgrade().errors.contains("\(installed) cannot be executed"))
    running.process.send(SIGTERM)
    #expect(try running.process.exitCode() == 0)
    #expect(!FileManager.default.fileExists(atPath: running.socket))
  }

  @Test func `executes a program that is handed over, and no script`() throws {
    let running = try UpgradableProcess("nvme", "--memory", "16M")
    let copy = running.scratch.path("copy")
    try FileManager.default.copyItem(atPath: UpgradableProcess.program.path, toPath: copy)
    #expect(try running.upgrade(to: copy).exitCode == 0)
    let script = try running.script("script", "exit 0")
    let run = try running.upgrade(to: script)
    #expect(
      run.exitCode == 1 && run.errors.contains("\(script) cannot be executed"), "\(run.errors)")
    #expect(try running.upgrade(to: copy).exitCode == 0)
  }

  @Test
  func `takes a configuration file that was replaced, and refuses files outside of the sandbox`()
    throws
  {
    let scratch = try ScratchFolder()
    let running = try UpgradableProcess(
      configuration: """
        [[nvme]]
        socket = "\(scratch.path("a"))"
        memory = "16M"
        """, sockets: [])
    let file = running.scratch.path("devices.toml")
    func configure(_ more: String) throws {
      try
        "log-level = \"info\"\n[[nvme]]\nsocket = \"\(scratch.path("a"))\"\nmemory = \"16M\"\n\(more)"
        .write(toFile: file, atomically: true, encoding: .utf8)
    }
    try configure("busy-poll = 0\n")
    try running.upgradeWell()
    try configure(
      "[[nvme]]\nsocket = \"\(scratch.path("b"))\"\nfile = \"\(scratch.path("b.img"))\"\nsize = \"1M\"\n"
    )
    let run = try running.upgrade()
    #expect(run.exitCode == 1 && run.errors.contains("sandbox"), "\(run.errors)")
    try configure("")
    try running.upgradeWell()
  }

  @Test func `removes its socket at the end, but not another one that has its name`() throws {
    let running = try UpgradableProcess("edu")
    try running.upgradeWell()
    try FileManager.default.removeItem(atPath: running.socket)
    try Data().write(to: URL(filePath: running.socket))
    running.process.send(SIGTERM)
    #expect(try running.process.exitCode() == 0)
    #expect(FileManager.default.fileExists(atPath: running.socket))
  }
}
