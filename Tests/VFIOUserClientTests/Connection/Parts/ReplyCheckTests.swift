import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserClient

@Suite struct `The check of replies` {
  private static func judged(
    _ header: Header, _ count: Int = 0, descriptors: Int = 0, limit: Int = ReplyCheck.usualLimit
  ) -> ClientError? {
    let check = ReplyCheck(.deviceReset, limit: limit, descriptorLimit: 1)
    let list = VFIOUserClientTests.descriptors(descriptors)
    return check.failure(of: header, [UInt8](repeating: 0, count: count).span, list)
  }

  @Test func `A reply is refused above its limits and taken at them`() {
    let header = Header(id: 1, command: .deviceReset, size: 0, flags: .reply)
    #expect(Self.judged(header) == nil)
    #expect(Self.judged(header, 8, descriptors: 1, limit: 8) == nil)
    #expect(
      Self.judged(header, 9, limit: 8)
        == .implausibleReply(.deviceReset, "9 bytes, at most 8 were expected"))
    #expect(
      Self.judged(header, descriptors: 2)
        == .implausibleReply(.deviceReset, "2 descriptors, at most 1 were expected"))
  }

  @Test func `A reply that refuses is taken for its errno, whatever else is wrong`() {
    let header = Header(
      id: 1, command: .dmaMap, size: 0, flags: [.reply, .error],
      error: UInt32(Errno.noSpace.rawValue))
    #expect(Self.judged(header, 99, descriptors: 9) == .refused(.deviceReset, .noSpace))
  }

  @Test func `A reply to another command is refused`() {
    let header = Header(id: 1, command: .dmaMap, size: 0, flags: .reply)
    #expect(Self.judged(header) == .implausibleReply(.deviceReset, "it answers DMA_MAP"))
  }

  /// Replies to an access of four bytes at 8 of BAR 0.
  static let replies: [(name: String, payload: [UInt8])] = [
    ("nothing", []),
    ("half of the fixed part", longs([8])),
    ("the fixed part", longs([8]) + words([0, 4])),
    ("a byte too few", longs([8]) + words([0, 4]) + [1, 2, 3]),
    ("the data", longs([8]) + words([0, 4, 1])),
    ("a byte too many", longs([8]) + words([0, 4, 1]) + [9]),
    ("another offset", longs([9]) + words([0, 4, 1])),
    ("another region", longs([8]) + words([1, 4])),
    ("another count", longs([8]) + words([0, 3])),
    ("64 bytes", longs([8]) + words([0, 4]) + [UInt8](repeating: 0, count: 48)),
  ]

  @Test(arguments: 0..<replies.count, [Command.regionRead, .regionWrite])
  func `A reply to a region access is judged alike for threads and tasks`(
    _ number: Int, _ command: Command
  ) async throws {
    let payload = Self.replies[number].payload
    let client = try client { server in
      while true { server.reply(to: try server.receive(), payload) }
    }
    let (ofThread, ofTask): (ClientError?, ClientError?)
    if command == .regionRead {
      ofThread = failure { () throws(ClientError) in
        _ = try client.load(.bar0, at: 8, as: UInt32.self)
      }
      ofTask = await asyncFailure { () async throws(ClientError) in
        _ = try await client.load(.bar0, at: 8, as: UInt32.self)
      }
    } else {
      ofThread = failure { () throws(ClientError) in try client.store(1 as UInt32, .bar0, at: 8) }
      ofTask = await asyncFailure { () async throws(ClientError) in
        try await client.store(1 as UInt32, .bar0, at: 8)
      }
    }
    #expect(ofThread == ofTask)
    let good = command == .regionRead ? "the data" : "the fixed part"
    #expect((ofThread == nil) == (Self.replies[number].name == good))
  }
}

private func asyncFailure(_ body: () async throws(ClientError) -> Void) async -> ClientError? {
  do throws(ClientError) {
    try await body()
    return nil
  } catch {
    return error
  }
}
