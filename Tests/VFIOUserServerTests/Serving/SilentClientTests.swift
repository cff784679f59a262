import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

/// How the server is run.
enum Runner: CaseIterable {
  case thread, loop
}

@Suite struct `A client without VERSION` {
  /// A server, and something that keeps it running.
  private final class Running {
    let path = socketPath()
    private var stop: () -> Void = {}

    init(_ runner: Runner) throws {
      let (device, path) = (TestDevice(), path)
      switch runner {
      case .thread:
        let server = try DeviceServer(device)
        try server.start(on: ListeningSocket(path: path))
        stop = { server.stop() }
      case .loop:
        let loop = try Loop {
          [try PolledServer(DeviceServer(device), on: ListeningSocket(path: path))]
        }
        stop = { loop.stop() }
      }
    }

    deinit { stop() }

    func connect() throws -> ScriptedPeer {
      var socket: MessageSocket?
      _ = eventually {
        socket = try? MessageSocket(connectingTo: path)
        return socket != nil
      }
      return ScriptedPeer(try #require(socket))
    }
  }

  @Test(arguments: Runner.allCases, [[], [1], Array(ScriptedPeer.versionOfQEMU.dropLast())])
  func `A client without VERSION gives its place to one that sends VERSION`(
    _ runner: Runner, _ said: [UInt8]
  ) throws {
    let server = try Running(runner)
    let silent = try server.connect()
    silent.send(said)
    let client = try server.connect()
    let start = ContinuousClock.now
    #expect(try client.ask(ScriptedPeer.versionOfQEMU).errno == nil)
    #expect(ContinuousClock.now - start < .seconds(3))
    #expect(throws: StreamError.closedByPeer) { try silent.receive() }
    #expect(try client.ask(message(.deviceReset)).errno == nil)
  }

  @Test(arguments: Runner.allCases)
  func `Any number of clients without VERSION wait behind one that sends VERSION`(_ runner: Runner)
    throws
  {
    let server = try Running(runner)
    let silent = try (0..<8).map { _ in try server.connect() }
    let client = try server.connect()
    #expect(try client.ask(ScriptedPeer.versionOfQEMU).errno == nil)
    withExtendedLifetime(silent) {}
  }

  @Test(arguments: Runner.allCases)
  func `A client without VERSION keeps its place as long as nobody else connects`(_ runner: Runner)
    throws
  {
    let server = try Running(runner)
    let slow = try server.connect()
    _ = eventually(within: .milliseconds(500)) { false }
    #expect(try slow.ask(ScriptedPeer.versionOfQEMU).errno == nil)
  }

  @Test(arguments: Runner.allCases)
  func `A second client does not get the place of a client that has sent VERSION`(_ runner: Runner)
    throws
  {
    let server = try Running(runner)
    let client = try server.connect()
    #expect(try client.ask(ScriptedPeer.versionOfQEMU).errno == nil)
    _ = eventually(within: .milliseconds(200)) { false }
    let second = try server.connect()
    #expect(try second.ask(ScriptedPeer.versionOfQEMU).errno == UInt32(Errno.resourceBusy.rawValue))
    #expect(try client.ask(message(.deviceReset)).errno == nil)
  }
}
