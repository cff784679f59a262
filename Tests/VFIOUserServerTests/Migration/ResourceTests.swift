import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTesting
import VFIOUserTransport

@testable import VFIOUserServer

@Suite(.timeLimit(.minutes(2))) struct `What only one process can have, in a migration` {
  private func calls(_ machine: Machine) -> [String] {
    machine.device.calls.withLock { calls in
      defer { calls = [] }
      return calls
    }
  }

  @Test func `The source gives it up with the last bytes of its state, and the target gets it`()
    throws
  {
    let (source, target) = (try Machine(), try Machine())
    try source.client.setMigrationState(.stopCopy)
    var state = try source.client.readMigrationData(100)
    #expect(calls(source) == ["suspend", "save"])
    state += try source.readState()
    #expect(calls(source) == ["release"])
    try target.client.loadState(state)
    #expect(calls(target) == ["suspend", "load", "acquire", "resume"])
    try source.client.setMigrationState(.running)
    #expect(calls(source) == ["acquire", "resume"])
  }

  @Test func `A source that cannot give it up says so, and its state can be read again`() throws {
    let source = try Machine()
    source.device.refusal.update { $0 = .ioError }
    try source.client.setMigrationState(.stopCopy)
    let start = try source.client.readMigrationData(100)
    #expect(source.errno { _ = try source.readState(piece: 100_000) } == .ioError)
    source.device.refusal.update { $0 = nil }
    let state = try start + source.readState()
    let target = try Machine()
    try target.client.loadState(state)
  }

  @Test func `A device that cannot get it stays stopped, and runs when it can`() throws {
    let (source, target) = (try Machine(), try Machine())
    let state = try source.client.saveState()
    target.device.refusal.update { $0 = .resourceTemporarilyUnavailable }
    #expect(target.errno { try target.client.loadState(state) } == .resourceTemporarilyUnavailable)
    #expect(try target.client.migrationState() == .stop)
    #expect(target.errno { try target.client.store(UInt32(5), .bar0, at: 0) } == .resourceBusy)
    target.device.refusal.update { $0 = nil }
    try target.client.setMigrationState(.running)
    try target.client.store(UInt32(5), .bar0, at: 0)
  }

  @Test func `A device that is reset runs also without it`() throws {
    let machine = try Machine()
    _ = try machine.client.saveState()
    machine.device.refusal.update { $0 = .resourceTemporarilyUnavailable }
    try machine.client.reset()
    #expect(try machine.isRunning())
    #expect(calls(machine).suffix(3) == ["reset", "acquire", "resume"])
  }

  @Test func `A saved device that cannot get it back stays stopped for the next client`() throws {
    let machine = try Machine()
    try machine.client.store(UInt32(5), .bar0, at: 0)
    _ = try machine.client.saveState()
    machine.device.refusal.update { $0 = .staleNFSFileHandle }
    machine.client.disconnect()
    let next = try machine.server.connect()
    #expect(try next.migrationState() == .stop)
    machine.device.refusal.update { $0 = nil }
    try next.setMigrationState(.running)
    #expect(try next.load(.bar0, at: 0, as: UInt32.self) == 5)
  }

  @Test func `A loaded device whose client goes before it runs is reset, and gets nothing`() throws
  {
    let (source, target) = (try Machine(), try Machine())
    try source.client.store(UInt32(5), .bar0, at: 0)
    let state = try source.client.saveState()
    try target.client.setMigrationState(.resuming)
    try target.client.writeMigrationData(state)
    try target.client.setMigrationState(.stop)
    _ = calls(target)
    target.client.disconnect()
    let next = try target.server.connect()
    #expect(try next.migrationState() == .running)
    #expect(try next.load(.bar0, at: 0, as: UInt32.self) == 0)
    #expect(calls(target) == ["reset", "resume"])
  }
}
