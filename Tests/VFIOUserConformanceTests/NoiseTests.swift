import LinuxPrimitives
import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol

@testable import VFIOUserConformance

/// A peer that sends nonsense must not end the suite: each check has a result.
@Suite(.timeLimit(.minutes(2))) struct `Peers that send noise` {
  /// Changes some of the bytes.
  private static func spoil(_ bytes: inout [UInt8], seed: UInt64) {
    let noise = Noise.bytes(bytes.count * 2, seed: seed)
    for place in bytes.indices where noise[2 * place] < 40 { bytes[place] = noise[2 * place + 1] }
  }

  @Test(arguments: 1...2)
  func `Each check of servers has a result`(seed: UInt64) throws {
    let server = try RightServer()
    let fault = Fault(reply: { reply, request, memory in
      guard request.command != .version else { return .pass }
      Self.spoil(&reply.payload, seed: seed << 20 + UInt64(memory.count("replies")))
      return .pass
    })
    let relay = try Relay(fault, at: FilePath(server.folder.path("noise")), before: server.path)
    defer { relay.stop() }
    let suite = ServerSuite(path: relay.path, timeout: .milliseconds(300), isDestructive: true)
    #expect(suite.run(Check.all).count == Check.all.count)
  }

  /// Every number of a description is as large as it can be.
  @Test func `Each check of servers has a result if all numbers are too large`() throws {
    let server = try RightServer()
    let fault = Fault(reply: { reply, request, _ in
      let asked: [Command] = [.deviceGetInfo, .deviceGetRegionInfo, .deviceGetIRQInfo]
      guard asked.contains(request.command) else { return .pass }
      reply.payload = reply.payload.map { _ in 0xFF }
      return .pass
    })
    let relay = try Relay(fault, at: FilePath(server.folder.path("noise")), before: server.path)
    defer { relay.stop() }
    let suite = ServerSuite(path: relay.path, timeout: .milliseconds(300), isDestructive: true)
    #expect(suite.run(Check.all).count == Check.all.count)
  }

  @Test func `A region of as many bytes as there can be has a result`() throws {
    let server = try RightServer()
    let fault = Fault.edit(.deviceGetRegionInfo, { $0.word(8) == 2 }) { payload in
      payload = .u32(32, 7, 2, 0) + .u64(.max, 0)
    }
    let relay = try Relay(fault, at: FilePath(server.folder.path("large")), before: server.path)
    defer { relay.stop() }
    let suite = ServerSuite(path: relay.path, timeout: .milliseconds(300))
    let results = suite.run(Check.all.filter { $0.group == .regions })
    #expect(results.contains { $0.subject.number == 414 && $0.outcome.word == "fail" })
  }

  @Test(arguments: 1...2)
  func `Each check of clients has a result`(seed: UInt64) throws {
    let folder = try ScratchFolder()
    let path = FilePath(folder.path("client"))
    let count = Monitor(seed << 20)
    let fault = ClientFault(request: { request in
      guard request.command != .version else { return }
      let number = count.update { count in
        count += 1
        return count
      }
      Self.spoil(&request.payload, seed: number)
    })
    let launcher = ScriptedLauncher(path: path, fault: fault)
    let suite = ClientSuite(path: path, launcher, timeout: .seconds(2), quiet: .milliseconds(20))
    #expect(try suite.run(ClientCheck.all).count == ClientCheck.all.count)
  }
}
