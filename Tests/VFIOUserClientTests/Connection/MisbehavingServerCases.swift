import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

private let limit = usualMessageLimit
private let other = ClientError.implausibleReply

extension `A misbehaving server` {
  static let framing: [ServerMisbehaviour] = [
    .losing("claims a size of zero", .sizeBelowHeader(0)) { server, _ in
      server.send(message(.deviceGetInfo, flags: .reply, size: 0))
    },
    .losing("claims a size below the header", .sizeBelowHeader(15)) { server, _ in
      server.send(message(.deviceGetInfo, flags: .reply, size: 15))
    },
    .losing("claims four gigabytes", .sizeAboveLimit(.max, limit: limit)) { server, _ in
      server.send(message(.deviceGetInfo, flags: .reply, size: .max))
    },
    .losing("claims one byte too many", .sizeAboveLimit(UInt32(limit) + 1, limit: limit)) {
      server, _ in server.send(message(.dmaWrite, size: UInt32(limit) + 1))
    },
    .losing("sends a message of type 2", .unknownType(2)) { server, _ in
      server.send(message(.deviceGetInfo, flags: MessageFlags(rawValue: 2)))
    },
    .losing("sends a message of type 15", .unknownType(15)) { server, _ in
      server.send(message(.deviceGetInfo, flags: MessageFlags(rawValue: 0x2F)))
    },
    .losing("speaks HTTP", .sizeAboveLimit(0x312E_312F, limit: limit)) { server, _ in
      server.send(Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8))
    },
    .losing("goes away", .closedByPeer) { server, _ in server.socket.shutdown() },
    .losing("goes away within a header", .endInsideMessage(had: 9)) { server, request in
      server.send(Array(ScriptedServer.reply(to: request)[..<9]))
      server.socket.shutdown()
    },
    .losing("stops within a header", .deadlinePassed(during: .receiving)) { server, request in
      server.send(Array(ScriptedServer.reply(to: request)[..<9]))
    },
    .losing("stops within a payload", .deadlinePassed(during: .receiving)) { server, request in
      server.send(Array(ScriptedServer.reply(to: request, [0, 0, 0, 0])[..<18]))
    },
    .losing("sends half a header with descriptors", .deadlinePassed(during: .receiving)) {
      server, request in
      server.send(
        Array(ScriptedServer.reply(to: request)[..<9]), descriptors: descriptors(20))
    },
    .init("says nothing", .info, .timedOut(.deviceGetInfo)) { _, _ in },
  ]

  static let headers: [ServerMisbehaviour] = [
    .header("answers another command", other(.deviceReset, "it answers DMA_MAP")) {
      message(.dmaMap, id: $0.header.id, flags: .reply)
    },
    .header("answers an unknown command", other(.deviceReset, "it answers command 999")) {
      message(Command(rawValue: 999), id: $0.header.id, flags: .reply)
    },
    .header("refuses with another command", .refused(.deviceReset, .invalidArgument)) {
      message(.dmaMap, id: $0.header.id, flags: [.reply, .error], error: 22)
    },
    .header("refuses with errno 0", .refused(.deviceReset, .ioError)) {
      message(.deviceReset, id: $0.header.id, flags: [.reply, .error], error: 0)
    },
    .header("refuses with errno 2^32 - 1", .refused(.deviceReset, Errno(rawValue: .max))) {
      message(.deviceReset, id: $0.header.id, flags: [.reply, .error], error: .max)
    },
    .header("refuses with a payload", .refused(.deviceReset, .resourceBusy)) {
      message(.deviceReset, id: $0.header.id, flags: [.reply, .error], error: 16, [1, 2, 3])
    },
    .header("refuses with a mebibyte", .refused(.deviceReset, .resourceBusy)) {
      message(
        .deviceReset, id: $0.header.id, flags: [.reply, .error], error: 16,
        [UInt8](repeating: 1, count: 1 << 20))
    },
    .header("sets an errno in a success", nil) {
      message(.deviceReset, id: $0.header.id, flags: .reply, error: 22)
    },
    .header("sets No_reply and reserved flags in a reply", nil) {
      message(.deviceReset, id: $0.header.id, flags: MessageFlags(rawValue: 0xFFFF_FFD1))
    },
    .header("answers with another id", .timedOut(.deviceReset)) {
      message(.deviceReset, id: $0.header.id &+ 1, flags: .reply)
    },
    .header("answers nobody first", nil) {
      message(.deviceReset, id: 40_000, flags: .reply) + ScriptedServer.reply(to: $0)
    },
    .header("answers nobody at length first", nil) {
      message(.regionRead, id: 40_000, flags: .reply, [UInt8](repeating: 1, count: 1 << 20))
        + ScriptedServer.reply(to: $0)
    },
    .header("answers twice", nil) {
      ScriptedServer.reply(to: $0) + ScriptedServer.reply(to: $0)
    },
    .header("answers a thousand times", nil) { request in
      (0..<1000).flatMap { _ in ScriptedServer.reply(to: request) }
    },
    .header("refuses and then agrees", .refused(.deviceReset, .invalidArgument)) {
      ScriptedServer.reply(to: $0, error: 22) + ScriptedServer.reply(to: $0)
    },
  ]

  static let extras: [ServerMisbehaviour] = [
    .init(
      "sends a descriptor that nobody wants", .reset,
      other(.deviceReset, "1 descriptors, at most 0 were expected")
    ) {
      $0.reply(to: $1, descriptors: descriptors(1))
    },
    .init(
      "sends 253 descriptors", .info,
      other(.deviceGetInfo, "253 descriptors, at most 0 were expected")
    ) {
      $0.reply(to: $1, words([16, 2, 9, 5]), descriptors: descriptors(253))
    },
    .init("sends descriptors with a refusal", .reset, .refused(.deviceReset, .invalidArgument)) {
      $0.reply(to: $1, error: 22, descriptors: descriptors(3))
    },
    .init("sends descriptors with an answer to nobody", .reset, nil) {
      $0.send(message(.deviceReset, id: 4000, flags: .reply), descriptors: descriptors(9))
      $0.reply(to: $1)
    },
    .init("floods with descriptors", .reset, nil) { server, request in
      for id in 0..<100 as Range<UInt16> {
        server.send(message(.dmaRead, id: id, longs([0, 1])), descriptors: descriptors(10))
      }
      server.reply(to: request)
    },
    .init("asks for what it must not", .reset, nil) { server, request in
      for command in 0...20 as ClosedRange<UInt16> {
        server.send(message(Command(rawValue: command), id: command, [1, 2, 3]))
      }
      server.reply(to: request)
    },
    .init("asks with every flag", .reset, nil) { server, request in
      for bit in 4..<32 as Range<UInt32> {
        server.send(message(.dmaRead, flags: MessageFlags(rawValue: 1 << bit), longs([0, 1])))
      }
      server.reply(to: request)
    },
    .init("asks at length for nothing", .reset, nil) { server, request in
      server.send(message(Command(rawValue: 77), [UInt8](repeating: 7, count: 1 << 20)))
      server.reply(to: request)
    },
    .init("answers a posted write", .postAndReset, nil) { server, post in
      server.reply(to: post, post.payload)
      server.answer(try server.receive())
    },
    .init("refuses a posted write, and that at the side of an answer", .postAndReset, nil) {
      server, post in
      let reset = try server.receive()
      server.send(ScriptedServer.reply(to: post, error: 22) + ScriptedServer.reply(to: reset))
      server.reply(to: post, error: 5, descriptors: descriptors(2))
    },
    .init("refuses a window", .map, .refused(.dmaMap, .noMemory)) { $0.reply(to: $1, error: 12) },
    .init("answers a window at length", .map, other(.dmaMap, "65 bytes, at most 64 were expected"))
    {
      $0.reply(to: $1, [UInt8](repeating: 0, count: 65))
    },
    .init(
      "answers a window with a descriptor", .map,
      other(.dmaMap, "1 descriptors, at most 0 were expected")
    ) {
      $0.reply(to: $1, descriptors: descriptors(1))
    },
    .init("does not answer a window", .map, .timedOut(.dmaMap)) { _, _ in },
    .init(
      "cuts the answer to unmapping short", .unmapAll,
      .malformedReply(.dmaUnmap, .truncated(needed: 24, had: 0))
    ) {
      $0.reply(to: $1)
    },
    .init(
      "answers interrupts at length", .trigger,
      other(.deviceSetIRQs, "65 bytes, at most 64 were expected")
    ) {
      $0.reply(to: $1, [UInt8](repeating: 0, count: 65))
    },
  ]
}
