import Foundation
import Glibc
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient

@Suite(.timeLimit(.minutes(2))) struct `Devices in processes of their own` {
  @Test func `A killed process is started again, and its neighbour's I/O goes on`() throws {
    let devices = try SupervisedDevices(
      """
      [[nvme]]
      socket = "one"
      memory = "4M"
      [[nvme]]
      socket = "two"
      memory = "8M"
      """)
    let io = try ChildProcess(
      SupervisedDevices.program, ["nvme", "verify", devices.path("two"), "--overwrite"],
      log: devices.path("verify"))
    let neighbour = try devices.process(of: "two")
    for _ in 0..<3 {
      let victim = try devices.process(of: "one")
      try #require(victim > 0)
      kill(victim, SIGKILL)
      #expect(
        eventually {
          let now = (try? devices.process(of: "one")) ?? 0
          return now > 0 && now != victim && (try? devices.client("one").deviceInfo()) != nil
        })
    }
    #expect(try io.exitCode(within: .seconds(60)) == 0, "\(io.whatItSaid)")
    #expect(try devices.process(of: "two") == neighbour)
    let log = devices.process.whatItSaid
    #expect(log.contains("signal 9") && log.contains(devices.path("one")))
  }

  @Test func `A process at its memory limit has no memory left of its neighbour's`() throws {
    let devices = try SupervisedDevices(
      """
      [[scratch]]
      socket = "one"
      memory-limit = "32M"
      [[scratch]]
      socket = "two"
      """)
    let neighbour = try devices.client("two")
    let victim = try devices.process(of: "one")
    #expect(processFile("limits", of: victim).contains("33554432"))
    // The rest of what it may have, but half a MiB, is taken from it, so that the test is quick.
    let used = try #require(dataSize(of: victim))
    let limiting = try ProgramRun(
      URL(filePath: "/usr/bin/prlimit"), ["--pid", "\(victim)", "--data=\((used + 512) << 10)"])
    #expect(limiting.exitCode == 0, "\(limiting.errors)")
    let memory = try SharedMemory(size: 4096)
    let client = try devices.client("one")
    // Each window takes some of the process's memory, and none of the client's.
    #expect(throws: ClientError.self) {
      try client.transaction { changes throws(ClientError) in
        for number in 0..<65_000 {
          try changes.map(memory, at: UInt64(number << 13), size: 4096, isShared: false)
        }
      }
    }
    #expect(eventually { !isAlive(victim) })
    _ = try neighbour.read(.bar1, at: 0, count: 4096)
    #expect(eventually { (try? devices.client("one").deviceInfo()) != nil })
  }

  @Test(.enabled(if: geteuid() == 0, "only root can become another user"))
  func `A user has the process, the socket and the file, and no privilege is left`() throws {
    let devices = try SupervisedDevices(
      """
      user = "nobody"
      [[nvme]]
      socket = "one"
      file = "image"
      size = "1M"
      [[edu]]
      socket = "two"
      user = "12345"
      """)
    let one = try processFile("status", of: devices.process(of: "one"))
    #expect(one.contains("Uid:\t65534\t65534\t65534\t65534"), "\(one)")
    #expect(one.contains("CapPrm:\t0000000000000000") && one.contains("CapEff:\t0000000000000000"))
    let two = try processFile("status", of: devices.process(of: "two"))
    #expect(two.contains("Uid:\t12345\t12345") && two.contains("Gid:\t12345\t12345"))
    #expect(two.contains("Groups:\t \n"), "\(two)")
    for (name, owner) in [("one", 65534), ("image", 65534), ("two", 12345)] {
      let owned = try FileManager.default.attributesOfItem(atPath: devices.path(name))
      #expect(owned[.ownerAccountID] as? Int == owner, "\(name)")
    }
    // It keeps what starting and ending them takes: CAP_KILL, CAP_SETGID, CAP_SETUID.
    let supervisor = processFile("status", of: devices.process.processID)
    #expect(
      supervisor.contains("CapBnd:\t00000000000000e0") && supervisor.contains("NoNewPrivs:\t1"))
    _ = try devices.client("one").deviceInfo()
  }

  @Test func `The end of the supervisor is the end of its processes, also after an upgrade`() throws
  {
    let devices = try SupervisedDevices(
      """
      [[nvme]]
      socket = "one"
      file = "image"
      size = "1M"
      [[edu]]
      socket = "two"
      """)
    let client = try devices.client("one")
    _ = try client.deviceInfo()
    let before = try devices.list().map(\.process)
    for _ in 0..<2 {
      let run = try ProgramRun(
        SupervisedDevices.program, ["upgrade", "--pid", "\(devices.process.processID)"])
      try #require(run.exitCode == 0, "\(run.errors)\n\(devices.process.whatItSaid)")
      #expect(run.text.contains("2 devices"))
    }
    _ = try client.deviceInfo()
    #expect(try devices.list().map(\.process) == before)
    let version = try ProgramRun(
      SupervisedDevices.program, ["ctl", "\(before[0] ?? 0)", "version"])
    #expect(version.text.contains("upgraded 2 times"), "\(version.text)")
    devices.process.kill()
    #expect(eventually { before.allSatisfy { !isAlive($0 ?? 0) } })
    // Nothing is locked.
    let again = try SupervisedDevices.start(
      devices.scratch, "[[nvme]]\nsocket = \"one\"\nfile = \"image\"")
    #expect(eventually { (try? devices.client("one").deviceInfo()) != nil }, "\(again.whatItSaid)")
  }

  @Test(
    .enabled(if: geteuid() == 0, "only root can become another user"))
  func `A process ends with its supervisor as another user, too`() throws {
    let devices = try SupervisedDevices("user = \"nobody\"\n[[edu]]\nsocket = \"one\"")
    let added = try devices.ctl("add", "edu", "--socket", devices.path("two"), "--user", "12345")
    #expect(added.exitCode == 0, "\(added.errors)")
    let processes = try devices.list().compactMap(\.process)
    #expect(processes.count == 2 && processes.allSatisfy(isAlive))
    devices.process.kill()
    #expect(eventually { !processes.contains(where: isAlive) })
  }

  @Test func `A program that cannot take over leaves everything as it was`() throws {
    let devices = try SupervisedDevices("[[edu]]\nsocket = \"one\"")
    let before = try devices.process(of: "one")
    let run = try ProgramRun(
      SupervisedDevices.program,
      ["upgrade", "--pid", "\(devices.process.processID)", "--program", "/bin/false"])
    #expect(run.exitCode == 1 && run.errors.contains("0 of 1"), "\(run.errors)")
    #expect(try devices.process(of: "one") == before)
    devices.process.send(SIGUSR2)
    #expect(eventually { devices.process.whatItSaid.contains("the program was replaced") })
    #expect(eventually { (try? devices.process(of: "one")) == before })
  }

  @Test func `Twenty devices of one file are all served, and end together`() throws {
    let tables = (0..<20).map { "[[nvme]]\nsocket = \"s\($0)\"\nmemory = \"1M\"\n" }
    let devices = try SupervisedDevices(tables.joined())
    let processes = try devices.list().compactMap(\.process)
    #expect(Set(processes).count == 20)
    for number in 0..<20 { _ = try devices.client("s\(number)").deviceInfo() }
    devices.process.send(SIGTERM)
    #expect(try devices.process.exitCode() == 0)
    #expect(processes.allSatisfy { !isAlive($0) })
    let left = try FileManager.default.contentsOfDirectory(atPath: devices.scratch.url.path)
    #expect(left.sorted() == ["devices.toml", "log"])
  }

  @Test func `When one device cannot be had none is served, and its place in the file is said`()
    throws
  {
    let scratch = try SupervisedDevices.openFolder()
    let process = try SupervisedDevices.start(
      scratch,
      """
      [[edu]]
      socket = "one"
      [[nvme]]
      socket = "two"
      file = "missing"
      """)
    #expect(try process.exitCode() == 1)
    let said = process.whatItSaid
    #expect(said.contains("line 4: [[nvme]] number 1") && said.contains("missing"), "\(said)")
    #expect(!FileManager.default.fileExists(atPath: scratch.path("one")))
  }
}

/// KiB of private memory, as RLIMIT_DATA counts it; nil for a process that is gone.
private func dataSize(of process: Int32) -> Int? {
  let line = processFile("status", of: process).split(separator: "\n").first {
    $0.hasPrefix("VmData:")
  }
  return line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) }
}
