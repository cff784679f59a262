import Logging
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTesting
import VFIOUserTransport

@Suite struct `The log of a server with clients that behave` {
  /// The lines at `info` and above while two clients come, work, reset the device and go.
  private func lines(_ clientLogLevel: Logger.Level?) throws -> [String] {
    let record = LogRecord()
    var options = ServerOptions()
    options.logger = record.logger(.info)
    if let clientLogLevel { options.clientLogLevel = clientLogLevel }
    let server = try DeviceServer(TestDevice(), options)
    for _ in 0..<2 {
      let client = try server.connect()
      try client.store(UInt32(1), .bar2, at: 0)
      #expect(try client.load(.bar2, at: 0, as: UInt32.self) == 1)
      try client.reset()
      client.disconnect()
    }
    #expect(eventually { !server.hasClient })
    return record.lines.withLock { $0 }
  }

  @Test func `A server logs clients that behave at debug, and nothing above`() throws {
    #expect(try lines(nil) == [])
  }

  @Test func `A server logs clients at the level that its options name`() throws {
    let lines = try lines(.info)
    #expect(lines.count == 4, "\(lines)")
    #expect(lines.count { $0.contains("a client connected") } == 2, "\(lines)")
    #expect(lines.count { $0.contains("the client is gone") } == 2, "\(lines)")
  }
}
