import Glibc
import NVMeProtocol
import TestSupport
import Testing

@testable import NVMeDevice

@Suite(
  .timeLimit(.minutes(1)), .enabled(if: NBDServer.isPossible, "\(NBDServer.remedy)"))
struct `An NBD server that misbehaves` {
  @Test func `Is served from when it behaves`() throws {
    let server = try ScriptedNBDServer()
    let disk = try NBDHost(server.address)
    #expect(try disk.run(.io(.read)) == .success)
    #expect(disk.host.received(512).allSatisfy { $0 == 1 } == true)
    #expect(try disk.run(.io(.write)) == .success)
    #expect(try disk.run(.io(.flush)) == .success)
  }

  @Test(arguments: [0, 1 << 63, UInt64.max])
  func `Cannot have an export of any size`(size: UInt64) throws {
    let server = try ScriptedNBDServer { $0.size = size }
    #expect(throws: NBDError.self) { _ = try NBDExport(server.address) }
  }

  @Test(arguments: [[3, 4096, 65536], [1 << 20, 1 << 20, 1 << 25], [512, 4096, 1], [0, 0, 0]])
  func `Cannot have blocks of any size`(blocks: [UInt32]) throws {
    let server = try ScriptedNBDServer { $0.blocks = blocks }
    // libnbd does not tell of some of them: then they do not count.
    guard let export = try? NBDExport(server.address) else { return }
    #expect([1, 512].contains(export.alignment))
    #expect(export.facts.maximum >= 4096 && export.facts.maximum <= NBDFacts.mostBytes)
  }

  @Test func `Is no server when it closes the connection after any number of bytes`() throws {
    let server = try ScriptedNBDServer()
    var limit = 0
    // Until the handshake is complete.
    while limit < 400 {
      server.change { $0.limit = limit }
      guard (try? NBDExport(server.address)) == nil else { break }
      limit += 1
    }
    #expect(limit > 60 && limit < 400)
  }

  @Test func `Does not hold up the start when it says nothing`() throws {
    let server = try ScriptedNBDServer { $0.isSilent = true }
    let start = ContinuousClock.now
    #expect(throws: NBDError.noAnswer(seconds: NBDConnector.patience)) {
      _ = try NBDExport(server.address)
    }
    #expect(ContinuousClock.now - start < .seconds(8))
  }

  private static let replies: [String: @Sendable (UInt16, [UInt8], Int) -> [UInt8]?] = [
    "nothing": { _, _, _ in nil },
    "another magic": { _, cookie, _ in [1, 2, 3, 4, 0, 0, 0, 0] + cookie },
    "another cookie": { _, _, _ in [0x67, 0x44, 0x66, 0x98] + [UInt8](repeating: 9, count: 12) },
    "a structured reply": { _, cookie, _ in
      [0x66, 0x8E, 0x33, 0xEF, 0, 1, 0, 1] + cookie + [0, 0, 0, 0]
    },
    "half of a reply": { _, cookie, _ in [0x67, 0x44, 0x66, 0x98, 0, 0] },
    "a flood": { _, cookie, _ in [UInt8](repeating: 0x67, count: 1 << 20) },
    "replies to nothing behind the right one": { type, cookie, count in
      ScriptedNBDServer.goodReply(type, cookie, count) + [UInt8](repeating: 0x55, count: 4096)
    },
  ]

  @Test(arguments: replies.keys.sorted())
  func `Costs its own commands only`(kind: String) throws {
    let server = try ScriptedNBDServer()
    let disk = try NBDHost(server.address) { $0.timeout = .milliseconds(400) }
    let neighbour = try TestHost()
    try neighbour.enable()
    var queue = try neighbour.makeQueue()
    #expect(try disk.run(.io(.read)) == .success)
    let reply = try #require(Self.replies[kind])
    server.change { $0.reply = reply }
    // The present connection is a good one: the next one is not.
    try drop(disk, server)
    for _ in 0..<4 {
      let status = try disk.run(.io(.read))
      #expect(
        status == .success || status.means(.namespaceNotReady)
          || status.means(.unrecoveredReadError))
      #expect(try neighbour.run(.io(.read), &queue).status == .success)
    }
    // It is not asked again and again.
    #expect(server.connections < 60)
    server.change { script in
      script = .init()
      script.size = 32 << 20
    }
    #expect(eventually { (try? disk.run(.io(.read))) == .success })
  }

  @Test func `Cannot end a command with the number of another`() throws {
    let server = try ScriptedNBDServer {
      $0.reply = { type, cookie, count in
        ScriptedNBDServer.goodReply(type, [cookie[0] ^ 1] + cookie[1...], count)
      }
    }
    let disk = try NBDHost(server.address) { $0.timeout = .milliseconds(200) }
    #expect(try disk.run(.io(.read)).means(.namespaceNotReady))
  }

  @Test func `Gets nothing on a new connection before it is done with the old one`() throws {
    let isReleased = EventFlag()
    let server = try ScriptedNBDServer {
      $0.reply = { type, cookie, count in
        // Like a write that hangs in a disk behind the server.
        if type == 1 { _ = eventually { isReleased.isSet } }
        return ScriptedNBDServer.goodReply(type, cookie, count)
      }
    }
    let disk = try NBDHost(server.address) { $0.timeout = .milliseconds(200) }
    #expect(try disk.run(.io(.write)).means(.namespaceNotReady))
    #expect(!eventually(within: .milliseconds(400)) { server.connections > 1 })
    isReleased.set()
    #expect(eventually { (try? disk.run(.io(.read))) == .success })
    #expect(server.connections == 2)
  }

  /// Has the disk connect again.
  private func drop(_ disk: NBDHost, _ server: ScriptedNBDServer) throws {
    server.change { $0.size = 32 << 20 }
    disk.host.device.measure()
    #expect(eventually { (try? disk.export.size()) == 32 << 20 })
  }
}
