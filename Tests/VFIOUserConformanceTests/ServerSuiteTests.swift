import LinuxPrimitives
import ScratchDevice
import SystemPackage
import TestSupport
import Testing
import VFIOUserServer
import VFIOUserTransport

@testable import VFIOUserConformance

/// A device that is right, behind a socket.
final class RightServer {
  let folder: ScratchFolder
  let path: FilePath
  private let server: DeviceServer

  init() throws {
    folder = try ScratchFolder()
    path = FilePath(folder.path("right"))
    server = try DeviceServer(ScratchDevice.pci) { try ScratchDevice($0) }
    try server.start(on: ListeningSocket(path: path))
  }

  deinit { server.stop() }
}

@Suite(.timeLimit(.minutes(3))) struct `Checks of servers` {
  @Test func `Our scratch device passes each check`() throws {
    let server = try RightServer()
    var suite = ServerSuite(path: server.path, isDestructive: true)
    suite.timeout = .seconds(20)
    let results = suite.run(Check.all)
    let others = results.filter { $0.outcome != .passed }
    #expect(others.isEmpty, "\(others.map { "\($0.subject.number): \($0.outcome)" })")
    #expect(results.count >= 150)
  }

  @Test func `Each check has a fault of its own`() {
    let numbers = Set(Check.all.map(\.number))
    #expect(numbers.count == Check.all.count)
    #expect(numbers.subtracting(Fault.all.keys).sorted() == [])
    #expect(Set(Fault.all.keys).subtracting(numbers).sorted() == [])
  }

  /// So what fails below fails because of the fault.
  @Test func `A relay without a fault does not make checks fail`() throws {
    let server = try RightServer()
    let relay = try Relay(Fault(), at: FilePath(server.folder.path("relay")), before: server.path)
    defer { relay.stop() }
    let suite = ServerSuite(path: relay.path, timeout: .seconds(20), isDestructive: true)
    let others = suite.run(Check.all).filter { $0.outcome != .passed }
    #expect(others.isEmpty, "\(others.map { "\($0.subject.number): \($0.outcome)" })")
  }

  @Test(arguments: Check.Group.allCases)
  func `Each check fails with a server that has its fault`(group: Check.Group) throws {
    let server = try RightServer()
    for check in Check.all where check.group == group {
      let relay = try Relay(
        try #require(Fault.all[check.number]), at: FilePath(server.folder.path("faulty")),
        before: server.path)
      defer { relay.stop() }
      let suite = ServerSuite(path: relay.path, timeout: .milliseconds(1500), isDestructive: true)
      let outcome = suite.run(check).outcome
      #expect(
        outcome.word == "fail" || outcome.word == "differs",
        "check \(check.number), \(check.title): \(outcome)")
    }
  }
}
