internal import LinuxPrimitives
internal import VFIOUserProtocol

extension Check {
  static let framing: [Check] = [
    Check(101, .framing, "A reply repeats the message ID", Clause.header) { probe throws(Verdict) in
      let peer = try probe.open()
      for id: UInt16 in [0, 1, 0x00FF, 0x7FFF, 0xFFFF] {
        try peer.succeed(Request.deviceInfo().with { $0.id = id })
      }
    },
    Check(102, .framing, "A reply repeats the command", Clause.header) { probe throws(Verdict) in
      let peer = try probe.open()
      try peer.succeed(.deviceInfo())
      try peer.succeed(.regionInfo(RegionFacts.configuration))
      try peer.succeed(.irqInfo(0))
      try peer.succeed(.read(RegionFacts.configuration, 0, 2))
    },
    Check(103, .framing, "The type of a reply is 1", Clause.header) { probe throws(Verdict) in
      let peer = try probe.open()
      try peer.send(.deviceInfo())
      let reply = try rawReply(peer)
      try require("the type of the reply", reply.header.flags.type, is: 1)
    },
    Check(104, .framing, "The size in a reply's header is header and payload", Clause.header) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let reply = try peer.succeed(.deviceInfo(), atLeast: 16)
      try require(
        reply.payload.count == Int(reply.word(0)), "a message of 16 bytes and argsz",
        saw: "\(reply.payload.count) bytes behind the header, argsz \(reply.word(0))")
      // A size that is wrong shifts the stream.
      try peer.fence("a reply")
    },
    Check(105, .framing, "A reply has no flags but its type and Error", Clause.header) {
      probe throws(Verdict) in
      let peer = try probe.open()
      for request in [Request.deviceInfo(), Request(Command(rawValue: 0x7F))] {
        let flags = try peer.ask(request).header.flags.rawValue & ~0x2F
        try require(flags == 0, "flags 0x1 or 0x21", saw: "\(hex(flags)) besides")
      }
    },
    Check(106, .framing, "An error reply is a header only", Clause.header) {
      probe throws(Verdict) in
      let peer = try probe.open()
      for request in [Request.regionInfo(.max), .read(.max, 0, 4), .irqInfo(.max)] {
        let reply = try peer.ask(request)
        try require(
          reply.errno != nil, "\(request.command) of an index of 2^32 - 1 is refused",
          saw: "success")
        try require(reply.payload.isEmpty, "16 bytes", saw: "\(16 + reply.payload.count)")
      }
    },
    Check(107, .framing, "An error reply repeats message ID and command", Clause.header) {
      probe throws(Verdict) in
      let peer = try probe.open()
      for id: UInt16 in [0, 0xABCD] {
        try peer.refuse(
          Request.regionInfo(.max).with { $0.id = id }, "DEVICE_GET_REGION_INFO of 2^32 - 1")
      }
    },
    Check(108, .framing, "An unknown command is refused", Clause.commands) {
      probe throws(Verdict) in
      let peer = try probe.open()
      for number: UInt16 in [0x7F, 0x7FFF, 0xFFFF] {
        try peer.refuse(Request(Command(rawValue: number)), "command \(number)")
      }
    },
    Check(
      109, .framing, "The body of an unknown command is not taken for the next message",
      Clause.header
    ) { probe throws(Verdict) in
      let peer = try probe.open()
      try peer.refuse(
        Request(Command(rawValue: 0x7F), [UInt8](repeating: 0xFF, count: 48)), "command 127")
      try peer.fence("an unknown command")
    },
    Check(110, .framing, "Command 0 is refused", Clause.commands) { probe throws(Verdict) in
      try probe.open().refuse(Request(Command(rawValue: 0)), "command 0")
    },
    Check(111, .framing, "The command that was DIRTY_PAGES is refused", Clause.commands) {
      probe throws(Verdict) in
      let peer = try probe.open()
      try peer.refuse(Request(.dirtyPages, .u32(8, 0)), "command 14, which is not listed")
    },
    Check(112, .framing, "A client's DMA_READ is refused", Clause.commands) {
      probe throws(Verdict) in
      try probe.open().refuse(Request(.dmaRead, .u64(0, 4)), "DMA_READ to the server")
    },
    Check(113, .framing, "A client's DMA_WRITE is refused", Clause.commands) {
      probe throws(Verdict) in
      let peer = try probe.open()
      try peer.refuse(Request(.dmaWrite, .u64(0, 4) + .u32(0)), "DMA_WRITE to the server")
    },
    Check(114, .framing, "A reply that nobody awaits is not answered", Clause.header) {
      probe throws(Verdict) in
      let peer = try probe.open()
      try peer.send(Request.deviceInfo().with { $0.flags = .reply })
      try fenceOrEnd(peer, "a reply that it did not ask for")
      try probe.requireAlive(after: "a reply that it did not ask for")
    },
    Check(115, .framing, "A message of an unknown type is not carried out", Clause.header) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let before = try InterruptLine.read(peer)
      // An error reply, silence, and the end of the connection are all permitted.
      try peer.send(InterruptLine.write(~before).with { $0.flags = MessageFlags(rawValue: 7) })
      let after = try InterruptLine.read(probe.open())
      try require("the register that was not to be written", after, is: before)
    },
  ]

  /// The next message, without a look at its header.
  static func rawReply(_ peer: Peer) throws(Verdict) -> Message {
    let start = Deadline.now
    switch peer.wire.next(before: peer.deadline) {
    case .message(let message): return message
    case .ended: throw .failed(expected: "a reply", seen: Sight("the end", .end))
    case .silence(let unfinished):
      throw .failed(expected: "a reply", seen: .silence(since: start, unfinished: unfinished))
    case .malformed(let why): throw fail("a reply", saw: why)
    }
  }

  /// The server goes on, or has closed the connection.
  static func fenceOrEnd(_ peer: Peer, _ after: String) throws(Verdict) {
    do throws(Verdict) {
      try peer.fence(after)
    } catch {
      guard case .failed(_, let seen) = error, seen.kind == .end else { throw error }
    }
  }
}
