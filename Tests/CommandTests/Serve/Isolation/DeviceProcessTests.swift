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
    #expect(try processFile("limits", of: devices.process(of: "one")).contains("33554432"))
    let memory = try SharedMemory(size: 4096)
    // Each window takes some of the process's memory, and none of the client's.
    let failure = #expect(throws: ClientError.self) {
      for round in 0..<10 {
        let client = try devices.client("one")
        try client.transaction { changes in
          for number in 0..<65_000 {
            try changes.map(
              memory, at: UInt64(round << 40 + number << 13), size: 4096, isShared: false)
          }
        }
      }
    }
    print(failure as Any, devices.process.whatItSaid)
    _ = try neighbour.read(.bar1, at: 0, count: 4096)
    #expect(eventually { (try? devices.client("one").deviceInfo()) != nil })
  }
}
