import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTesting
import VFIOUserTransport

@testable import VFIOUserServer

@Suite(.timeLimit(.minutes(2))) struct `A client that migrates a device` {
  @Test(arguments: [64 << 10, 2 << 20] as [UInt64])
  func `The device continues at the target, and the report says what it took`(memory: UInt64) throws
  {
    let (source, target) = (try Machine(memory: memory), try Machine(memory: memory))
    try source.client.store(UInt32(7), .bar0, at: 0)
    try source.client.write(.bar2, at: 0, from: [UInt8](repeating: 1, count: Int(memory)))
    var seen: [MigrationProgress] = []
    var isCalled = false
    let report = try source.client.migrateDevice(to: target.client) { () throws(ClientError) in
      isCalled = true
    } progress: {
      seen.append($0)
      return true
    }
    #expect(try target.client.load(.bar0, at: 0, as: UInt32.self) == 7)
    let bytes = try target.client.read(.bar2, at: 0, count: Int(memory))
    #expect(bytes.allSatisfy { $0 == 1 })
    #expect(isCalled)
    let all = report.bytesInAdvance + report.bytesWhileStopped
    #expect(all > memory && all < memory + (64 << 10))
    #expect((report.rounds > 0) == (memory > 1 << 20))
    #expect((report.bytesInAdvance > memory) == (memory > 1 << 20))
    #expect(report.downtime > .zero)
    #expect(seen.last?.isStopped == true && seen.last?.bytes == all)
    #expect(try source.client.migrationState() == .stopCopy)
  }

  @Test(arguments: [0, 1, 2, 3])
  func
    `A migration that is cancelled at any message leaves the source running and the target reset`(
      message: Int
    ) throws
  {
    let (source, target) = (try Machine(memory: 2 << 20), try Machine(memory: 2 << 20))
    try source.client.store(UInt32(7), .bar0, at: 0)
    try source.client.write(.bar2, at: 0, from: [UInt8](repeating: 1, count: 2 << 20))
    var left = message
    #expect(throws: ClientError.cancelled) {
      try source.client.migrateDevice(
        to: target.client,
        progress: { _ in
          left -= 1
          return left >= 0
        })
    }
    #expect(try source.isRunning() && target.isRunning())
    #expect(try source.client.load(.bar0, at: 0, as: UInt32.self) == 7)
    #expect(try target.client.load(.bar0, at: 0, as: UInt32.self) == 0)
    // And again, to the end.
    _ = try source.client.migrateDevice(to: target.client)
    #expect(try target.client.load(.bar0, at: 0, as: UInt32.self) == 7)
  }

  @Test func `A source that was stopped for too long runs on`() throws {
    let (source, target) = (try Machine(), try Machine())
    let limit = Duration.milliseconds(10)
    do {
      _ = try source.client.migrateDevice(to: target.client, MigrationOptions(maxDowntime: limit)) {
        _ = eventually(within: .milliseconds(30)) { false }
      }
      Issue.record("the limit was kept")
    } catch {
      guard case .downtimeExceeded(let time, limit) = error.reason else {
        throw error
      }
      #expect(time >= .milliseconds(30))
    }
    #expect(try source.isRunning() && target.isRunning())
  }

  @Test func `A device that takes long to give up or to get what it needs is waited for`() throws {
    var options = ClientOptions()
    options.timeout = .milliseconds(300)
    let (source, target) = (try Machine(options), try Machine(options))
    for machine in [source, target] { machine.device.slowness.update { $0 = .milliseconds(600) } }
    let report = try source.client.migrateDevice(to: target.client)
    #expect(report.downtime > .milliseconds(1200))
    #expect(try target.isRunning())
  }

  @Test func `A target that refuses the state leaves the source running`() throws {
    let (source, target) = (try Machine(memory: 128 << 10), try Machine())
    #expect(throws: ClientError.refused(.deviceFeature, .invalidArgument)) {
      try source.client.migrateDevice(to: target.client)
    }
    #expect(try source.isRunning() && target.isRunning())
  }

  @Test func `A target that goes away at any message leaves the source running`() throws {
    for message in 0..<4 {
      let (source, target) = (try Machine(memory: 2 << 20), try Machine(memory: 2 << 20))
      try source.client.write(.bar2, at: 0, from: [UInt8](repeating: 1, count: 2 << 20))
      var left = message
      #expect(throws: ClientError.self) {
        try source.client.migrateDevice(
          to: target.client,
          progress: { _ in
            left -= 1
            if left < 0 { target.client.disconnect() }
            return true
          })
      }
      #expect(try source.isRunning())
    }
  }
}
