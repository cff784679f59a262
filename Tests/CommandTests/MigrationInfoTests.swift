import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

@testable import vfio_user

@Suite(.timeLimit(.minutes(2))) struct `What info says of migration` {
  /// Answers as a plausible device, and features as `answer` says.
  private func script(
    _ answer:
      @escaping @Sendable (ScriptedServer, ScriptedServer.Message, DeviceFeature) throws ->
      Void
  ) throws -> RunningScript {
    try RunningScript { server in
      try server.agree()
      while true {
        let message = try server.receive()
        guard message.command == .deviceFeature else {
          server.answer(message)
          continue
        }
        try answer(server, message, DeviceFeature(decoding: message.payload.span))
      }
    }
  }

  @Test func `A device is only asked for what it can do`() throws {
    let asked = Monitor<[FeatureMethods]>([])
    let script = try script { server, message, feature in
      asked.update { $0.append(feature.methods) }
      let flags = MigrationFlags([.stopCopy, .preCopy, .peerToPeer]).encoded()
      let reply = DeviceFeature(feature.methods, feature.feature, dataSize: flags.count)
      server.reply(
        to: message, feature.methods == .get ? bytes(of: reply) + flags : message.payload)
    }
    let summary = try DeviceSummary(of: Client(script.clientEnd))
    let migration = try #require(summary.migration)
    #expect(migration.stopCopy && migration.preCopy && migration.peerToPeer && migration.dmaLogging)
    #expect(
      migration.text
        == "can be saved (STOP_COPY), in part while it runs (PRE_COPY), P2P, log of written pages")
    #expect(asked.withLock { $0.allSatisfy { $0 == .get || $0.contains(.probe) } })
  }

  @Test(arguments: [Errno.notSupported, .noFunction, .invalidArgument])
  func `A device that knows no features cannot be saved`(errno: Errno) throws {
    let script = try script { server, message, _ in
      server.reply(to: message, error: UInt32(errno.rawValue))
    }
    let summary = try DeviceSummary(of: Client(script.clientEnd))
    #expect(summary.migration?.text == "cannot be saved")
  }

  @Test func `A device that ends at such a question is shown without the answer`() throws {
    let script = try script { server, _, _ in server.socket.shutdown() }
    let summary = try DeviceSummary(of: Client(script.clientEnd))
    #expect(summary.migration == nil && summary.regions.count == 9)
    #expect(summary.text.hasSuffix("Migration: the device does not answer"))
    #expect(try !summary.json().contains("migration"))
  }
}
