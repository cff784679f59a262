import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

/// Requests that no server should send, each while a caller waits: the caller gets its reply, and the
/// server the errno that it deserves.
extension `A misbehaving server` {
  static let requests: [ServerMisbehaviour] = [
    .asking("reads memory that is not there", 14, .dmaRead, longs([0x1000, 64])),
    .asking("writes memory that is not there", 14, .dmaWrite, longs([0x1000, 8, 1])),
    .asking("reads beyond the last address", 22, .dmaRead, longs([.max - 7, 64])),
    .asking("writes beyond the last address", 22, .dmaWrite, longs([.max, 8, 1])),
    .asking("reads more than was agreed", 7, .dmaRead, longs([0, 1 << 20 + 1])),
    .asking("reads 2^64 - 1 bytes", 7, .dmaRead, longs([0, .max])),
    .asking("says 2^64 - 1 bytes of writing", 7, .dmaWrite, longs([0, .max, 1])),
    .asking("writes fewer bytes than it says", 22, .dmaWrite, longs([0, 16, 1])),
    .asking("writes more bytes than it says", 22, .dmaWrite, longs([0, 4, 1])),
    .asking("reads with half an address", 22, .dmaRead, words([0])),
    .asking("reads with nothing", 22, .dmaRead, []),
    .asking("reads with data", 22, .dmaRead, longs([0, 8, 1])),
    .asking("writes with nothing", 22, .dmaWrite, []),
    .asking("negotiates once more", 38, .version, [0, 0, 1, 0]),
    .asking("resets its client", 38, .deviceReset, []),
    .asking("maps memory of its own", 38, .dmaMap, words([32, 3]) + longs([0, 0, 4096])),
    .asking("asks for command 0", 38, Command(rawValue: 0), []),
    .asking("asks for command 65535", 38, Command(rawValue: .max), []),
    .asking("reads with the flag of an error", 22, .dmaRead, flags: .error, longs([0, 0])),
    .asking("reads with descriptors", nil, .dmaRead, descriptors: 3, longs([0, 0])),
    .asking("writes with 253 descriptors", nil, .dmaWrite, descriptors: 253, longs([0, 0])),
    .asking("reads nothing", nil, .dmaRead, longs([0x1000, 0])),
    .asking("reads nothing at the last address", nil, .dmaRead, longs([.max, 0])),
    .asking("writes nothing", nil, .dmaWrite, longs([0x1000, 0])),
    .asking("asks with the id of the caller", 14, .dmaRead, sameID: true, longs([0x1000, 64])),
  ]

  static let posts: [ServerMisbehaviour] = [
    .init("answers a posted write before a read", .postAndLoad, nil) { server, request in
      server.reply(to: request, longs([8]) + words([0, 4]))
      server.answer(try server.receive())
    },
    .init("refuses a posted write", .postAndLoad, nil) { server, request in
      server.reply(to: request, error: 22)
      server.answer(try server.receive())
    },
    .init("answers a posted write with descriptors, twice", .postAndLoad, nil) { server, request in
      for _ in 0..<2 { server.reply(to: request, descriptors: descriptors(5)) }
      server.answer(try server.receive())
    },
    .init("answers with the type of a command", .reset, .timedOut(.deviceReset)) {
      server, request in server.send(message(.deviceReset, id: request.header.id))
    },
    .header("refuses with errno 2^31", .refused(.deviceReset, Errno(rawValue: .max))) {
      message(.deviceReset, id: $0.header.id, flags: [.reply, .error], error: 1 << 31)
    },
    .header("refuses with errno 4096", .refused(.deviceReset, Errno(rawValue: 4096))) {
      message(.deviceReset, id: $0.header.id, flags: [.reply, .error], error: 4096)
    },
    .losing("sends a refusal below the size of a header", .sizeBelowHeader(4)) { server, request in
      server.send(
        message(.deviceGetInfo, id: request.header.id, flags: [.reply, .error], size: 4, error: 5))
    },
  ]
}

extension ServerMisbehaviour {
  /// A server that asks for something before it answers a reset, and answers it only when what came back
  /// is right.
  static func asking(
    _ name: String, _ errno: UInt32?, _ command: Command, flags: MessageFlags = [],
    descriptors count: Int = 0, sameID: Bool = false, _ payload: [UInt8]
  ) -> ServerMisbehaviour {
    .init(name, .reset, nil) { server, request in
      let id = sameID ? request.header.id : 0x7777
      server.send(message(command, id: id, flags: flags, payload), descriptors: descriptors(count))
      let answer = try server.receive()
      let isRight =
        answer.header.id == id && answer.command == command && answer.header.flags.isReply
        && (answer.header.flags.contains(.error) ? answer.header.error : nil) == errno
      guard isRight else {
        Issue.record("\(name): \(answer.header)")
        return
      }
      server.reply(to: request)
    }
  }
}
