import Foundation
import Glibc
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient

@Suite(.timeLimit(.minutes(2))) struct `Ends of devices in processes of their own` {
  @Test func `A process that dies while others start is started again`() throws {
    let scratch = try SupervisedDevices.openFolder()
    let process = try SupervisedDevices.start(
      scratch, "[[edu]]\nsocket = \"one\"\n[[edu]]\nsocket = \"two\"")
    func isServed(_ socket: String) -> Bool {
      (try? Client(connectingTo: .init(scratch.path(socket))).deviceInfo()) != nil
    }
    func child(_ socket: String) -> Int32? {
      children(of: process.processID).first {
        processFile("cmdline", of: $0).contains(scratch.path(socket))
      }
    }
    // Its report keeps the supervisor waiting.
    #expect(eventually { child("two") != nil })
    let late = try #require(child("two"))
    kill(late, SIGSTOP)
    #expect(eventually { isServed("one") })
    let victim = try #require(child("one"))
    kill(victim, SIGKILL)
    #expect(eventually { !isAlive(victim) })
    kill(late, SIGCONT)
    #expect(eventually { isServed("one") && isServed("two") }, "\(process.whatItSaid)")
  }

  @Test func `What a process leaves behind ends with it`() throws {
    let devices = try SupervisedDevices("[[edu]]\nsocket = \"one\"")
    let victim = try devices.process(of: "one")
    // Its broker ends by itself, unless it is stopped.
    let left = try #require(children(of: victim).first, "\(devices.process.whatItSaid)")
    kill(left, SIGSTOP)
    kill(victim, SIGKILL)
    #expect(eventually { processFile("status", of: left).isEmpty })
    #expect(eventually { (try? devices.client("one").deviceInfo()) != nil })
    #expect(try children(of: devices.process(of: "one")).contains(where: isAlive))
  }

  @Test func `Children that the supervisor has not started live on, also after an upgrade`() throws
  {
    let scratch = try SupervisedDevices.openFolder()
    let file = scratch.path("devices.toml")
    try "isolation = \"process\"\n[[edu]]\nsocket = \"one\""
      .write(toFile: file, atomically: true, encoding: .utf8)
    // As a script does whose logger stays.
    let process = try ChildProcess(
      URL(filePath: "/bin/sh"),
      ["-c", "sleep 60 & exec \"$0\" serve --config \"$1\"", SupervisedDevices.program.path, file],
      log: scratch.path("log"))
    #expect(eventually { (try? Client(connectingTo: .init(scratch.path("one")))) != nil })
    let own = children(of: process.processID)
    let stranger = try #require(own.first { processFile("comm", of: $0) == "sleep\n" })
    defer { kill(stranger, SIGKILL) }
    let device = try #require(own.first { $0 != stranger })
    for _ in 0..<2 {
      let run = try ProgramRun(
        SupervisedDevices.program, ["upgrade", "--pid", "\(process.processID)"])
      #expect(run.exitCode == 0, "\(run.errors)")
    }
    kill(device, SIGKILL)
    #expect(eventually { (try? Client(connectingTo: .init(scratch.path("one")))) != nil })
    #expect(isAlive(stranger), "\(process.whatItSaid)")
    process.send(SIGTERM)
    // Not its exit code: Foundation waits for the stranger, too, which has its descriptors.
    #expect(eventually { !isAlive(process.processID) })
  }
}

/// The children of a process that its main thread has, zombies included.
private func children(of process: Int32) -> [Int32] {
  processFile("task/\(process)/children", of: process).split(separator: " ").compactMap {
    Int32($0)
  }
}
