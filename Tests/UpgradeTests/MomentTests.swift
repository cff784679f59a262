import CLinux
import Foundation
import Glibc
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

/// The program is replaced while something is under way.
///
/// What the server alone does is in `Relay`'s tests.
@Suite(.timeLimit(.minutes(3))) struct `A program that is replaced` {
  @Test func `A client of each device goes on with the device that it has known`() throws {
    for (device, identity) in [
      ("scratch", 0x5C7C_1234 as UInt32), ("edu", 0x11E8_1234),
      ("serial --listen /tmp/vfio-user-upgrade-test", 0x0002_1B36),
    ] {
      let running = try UpgradableProcess(
        URL.builtProgram("vfio-user"),
        ["serve"] + device.split(separator: " ").map(String.init), ScratchFolder())
      let client = try Client(connectingTo: FilePath(running.socket))
      for _ in 0..<3 {
        try running.upgradeWell()
        #expect(try client.load(.configuration, at: 0, as: UInt32.self) == identity)
      }
      client.disconnect()
    }
  }

  @Test func `A program leaves no descriptor, no thread and no process to the next one`() throws {
    let running = try UpgradableProcess("scratch")
    let client = try Client(connectingTo: FilePath(running.socket))
    let memory = try SharedMemory(size: 1 << 20)
    try client.map(memory, at: 0, size: memory.size)
    try running.upgradeWell()
    let descriptors = running.process.settledDescriptors()
    let threads = running.process.threads
    for _ in 0..<10 { try running.upgradeWell() }
    #expect(running.process.settledDescriptors().count == descriptors.count)
    #expect(running.process.threads == threads)
    // The broker of the sandbox.
    #expect(eventually { running.process.children.count == 1 })
    client.disconnect()
  }

  @Test func `Rings of a doorbell's eventfd count once, also while nobody watches it`() throws {
    let running = try UpgradableProcess("scratch")
    let client = try Client(connectingTo: FilePath(running.socket))
    try client.enable([.memory, .busMaster])
    // Bit 17 of the control register enables the descriptor.
    try client.store(UInt32(0x20000), .bar0, at: 0x28)
    let signals = try client.signals(of: client.region(.bar0))
    let bell = try #require(signals.counter(at: 0x2C, size: 4, value: 1))
    let isOver = Monitor(false)
    let rings = Monitor(0 as UInt64)
    try DetachedThread.start("bell") {
      while !isOver.withLock({ $0 }) {
        bell.signal()
        rings.update { $0 += 1 }
        _ = eventually(within: .seconds(10)) {
          (try? client.load(.bar0, at: 0x38, as: UInt64.self)) == rings.withLock { $0 }
        }
      }
    }
    for _ in 0..<10 { try running.upgradeWell() }
    isOver.update { $0 = true }
    #expect(
      eventually {
        (try? client.load(.bar0, at: 0x38, as: UInt64.self)) == rings.withLock { $0 }
      })
    #expect(rings.withLock { $0 } > 10)
    client.disconnect()
  }

  @Test func `INTx goes on with its trigger and unmask eventfds`() throws {
    let running = try UpgradableProcess("scratch")
    let client = try Client(connectingTo: FilePath(running.socket))
    let trigger = try EventFD()
    let unmask = try EventFD()
    try client.setTrigger(.intx, trigger)
    try client.setEvent(.unmask, .intx, unmask)
    for _ in 0..<3 {
      // Raise, and lower by writing 1.
      try client.store(UInt32(0), .bar0, at: 0x40)
      #expect(trigger.wait(for: .seconds(10)) == 1)
      try running.upgradeWell()
      #expect(trigger.wait(for: .milliseconds(20)) == nil)
      unmask.signal()
      #expect(trigger.wait(for: .seconds(10)) == 1)
      try client.store(UInt32(2), .bar0, at: 0x44)
      try running.upgradeWell()
      unmask.signal()
      #expect(trigger.wait(for: .milliseconds(20)) == nil)
    }
    client.disconnect()
  }

  @Test func `All devices of a process are replaced together, with and without clients`() throws {
    let running = try UpgradableProcess(
      configuration: """
        [[edu]]
        socket = "a"
        [[scratch]]
        socket = "b"
        [[nvme]]
        socket = "c"
        namespace = [{ size = "16M" }]
        """, sockets: ["a", "b", "c"])
    let first = try Client(connectingTo: FilePath(running.sockets[0]))
    try first.store(UInt32(5), .bar0, at: 4)
    for round in 0..<4 {
      let second = try Client(connectingTo: FilePath(running.sockets[1]))
      try second.store(UInt64(round), .bar0, at: 8)
      try running.upgradeWell()
      #expect(try second.load(.bar0, at: 8) == UInt64(round))
      #expect(try first.load(.bar0, at: 4) == ~UInt32(5))
      let third = try Client(connectingTo: FilePath(running.sockets[2]))
      #expect(try third.load(.bar0, at: 8, as: UInt32.self) != 0)
      third.disconnect()
      second.disconnect()
    }
    first.disconnect()
  }

  @Test func `A process is found by its socket among hundreds of sockets`() throws {
    let scratch = try ScratchFolder()
    // More than a page of the kernel's list, in front of the process's own.
    let others = try (0..<300).map {
      try ListeningSocket(path: FilePath(scratch.path("a-name-that-is-rather-long-\($0)")))
    }
    let running = try UpgradableProcess("edu")
    let run = try ProgramRun(UpgradableProcess.program, ["upgrade", running.socket])
    #expect(run.exitCode == 0, "\(run.errors)")
    withExtendedLifetime(others) {}
  }

  @Test func `SIGUSR2 replaces the program, and SIGTERM ends the new one`() throws {
    let running = try UpgradableProcess("edu")
    let client = try Client(connectingTo: FilePath(running.socket))
    for round in 1...3 {
      running.process.send(SIGUSR2)
      #expect(
        eventually {
          running.process.whatItSaid.split(separator: "the program was replaced").count == round + 1
        })
      #expect(try client.load(.bar0, at: 0, as: UInt32.self) == 0x0100_00ED)
    }
    running.process.send(SIGTERM)
    #expect(try running.process.exitCode() == 0)
    #expect(!FileManager.default.fileExists(atPath: running.socket))
    client.disconnect()
  }

  @Test func `Signals to end and to upgrade that come together end the program`() throws {
    for _ in 0..<5 {
      let running = try UpgradableProcess("edu")
      running.process.send(SIGUSR2)
      usleep(.random(in: 0...150_000))
      running.process.send(SIGTERM)
      #expect(try running.process.exitCode() == 0)
      #expect(!FileManager.default.fileExists(atPath: running.socket))
    }
  }

  @Test func `A client of a device may not have its program replaced`() throws {
    let running = try UpgradableProcess("edu")
    let client = try Client(connectingTo: FilePath(running.socket))
    // This process is the client, and asks.
    let control = ByteChannel(
      adopting: OwnedDescriptor(
        adopting: try checked(
          "connect", unsafe clinux_connect_abstract("vfio-user-\(running.process.processID)"))),
      name: "control socket")
    try control.send(Array(#"{"jsonrpc":"2.0","id":1,"method":"upgrade"}"#.utf8) + [10])
    let answer = try control.receiveSome(before: .after(.seconds(10)))
    let text = String(decoding: answer ?? [], as: UTF8.self)
    #expect(text.contains("a client of a device may not ask for this"), "\(text)")
    client.disconnect()
  }

  @Test(arguments: ["", "{", "\n", "[]\n", #"{"method":7}"# + "\n", #"{"method":"end"}"# + "\n"])
  func `A control request that is nothing leaves the process as it was`(_ text: String) throws {
    let running = try UpgradableProcess("edu")
    do {
      let control = ByteChannel(
        adopting: OwnedDescriptor(
          adopting: try checked(
            "connect", unsafe clinux_connect_abstract("vfio-user-\(running.process.processID)"))),
        name: "control socket")
      try control.send(Array(text.utf8))
    }
    try running.upgradeWell()
  }
}

extension ChildProcess {
  /// The number of its threads.
  var threads: Int {
    (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(processID)/task").count) ?? 0
  }

  /// Process IDs of its children, those that have ended included.
  var children: [Substring] { status(of: "task/\(processID)/children").split(separator: " ") }
}
