internal import VFIOUserProtocol

extension Check {
  static let streams: [Check] = [
    Check(116, .framing, "A command with No_reply is not answered", Clause.header) {
      probe throws(Verdict) in
      let peer = try probe.open()
      try peer.send(Request.deviceInfo().posted)
      try peer.fence("a command with No_reply")
    },
    Check(117, .framing, "A command with No_reply that fails is not answered", Clause.header) {
      probe throws(Verdict) in
      let peer = try probe.open()
      try peer.send(Request.regionInfo(.max).posted)
      try peer.fence("a command with No_reply that fails")
    },
    Check(
      118, .framing, "A command with No_reply is done before the next is answered",
      Clause.concurrency
    ) { probe throws(Verdict) in
      try InterruptLine.preserved(probe.open()) { peer throws(Verdict) in
        for value: UInt8 in [0x5A, 0xA5, 0x3C] {
          try peer.send(InterruptLine.write(value).posted)
          try require("the register that was posted", InterruptLine.read(peer), is: value)
        }
      }
    },
    Check(119, .framing, "Commands may be sent without waiting", Clause.concurrency) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let ids = (0..<16).map { _ in peer.nextID() }
      var awaited = Set(ids)
      try peer.send(ids.flatMap { Request.deviceInfo().bytes(id: $0) }, of: "16 commands")
      while !awaited.isEmpty {
        let reply = try peer.receive("16 replies")
        try require(
          awaited.remove(reply.header.id) != nil, "one reply for each message ID",
          saw: "ID \(reply.header.id)")
      }
    },
    Check(120, .framing, "Commands are carried out in order", Clause.concurrency) {
      probe throws(Verdict) in
      try InterruptLine.preserved(probe.open()) { peer throws(Verdict) in
        var bytes: [UInt8] = []
        for value: UInt8 in 1...8 {
          bytes += InterruptLine.write(value).bytes(id: peer.nextID())
          let read = Request.read(RegionFacts.configuration, InterruptLine.offset, 1)
          bytes += read.bytes(id: peer.nextID())
        }
        try peer.send(bytes, of: "16 commands")
        for value: UInt8 in 1...8 {
          _ = try peer.receive("a reply to a write")
          let reply = try peer.receive("a reply to a read")
          try require(
            "the byte that was written before it was read",
            reply.payload.last ?? 0, is: value)
        }
      }
    },
    Check(121, .framing, "A message ID may be in use several times", Clause.header) {
      probe throws(Verdict) in
      let peer = try probe.open()
      try peer.send((0..<4).flatMap { _ in Request.deviceInfo().bytes(id: 9) }, of: "4 commands")
      for _ in 0..<4 {
        let reply = try peer.receive("4 replies")
        try require("the message ID", reply.header.id, is: 9)
      }
      try peer.fence("4 commands with one message ID")
    },
    Check(122, .framing, "A header may come in two pieces", Clause.header) {
      probe throws(Verdict) in
      try sendSplit(probe, at: 1..<16)
    },
    Check(123, .framing, "A payload may come in two pieces", Clause.header) {
      probe throws(Verdict) in
      try sendSplit(probe, at: 16..<32)
    },
    Check(124, .framing, "A message may come byte by byte", Clause.header) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let bytes = Request.deviceInfo().bytes(id: 7)
      for byte in bytes {
        try peer.send([byte], of: "a byte of a message")
        probe.pause(.microseconds(300))
      }
      let reply = try peer.receive("a reply to a message sent byte by byte")
      try require("the message ID", reply.header.id, is: 7)
    },
    Check(
      125, .framing, "A piece may have the end of a message and the start of the next",
      Clause.header
    ) { probe throws(Verdict) in
      let peer = try probe.open()
      let stream = (1...3).flatMap { Request.deviceInfo().bytes(id: $0) }
      for cut in [stream[..<40], stream[40..<72], stream[72...]] {
        try peer.send(Array(cut), of: "a piece of three messages")
        probe.pause(.milliseconds(1))
      }
      for id: UInt16 in 1...3 {
        let reply = try peer.receive("three replies")
        try require("the message ID", reply.header.id, is: id)
      }
    },
    Check(
      126, .framing, "A command that fails does not disturb those sent with it",
      Clause.concurrency
    ) { probe throws(Verdict) in
      let peer = try probe.open()
      let requests = [
        Request.deviceInfo(), .regionInfo(.max), .irqInfo(0), .read(.max, 0, 4), .deviceInfo(),
      ]
      let stream = requests.enumerated().flatMap { $1.bytes(id: UInt16($0)) }
      try peer.send(stream, of: "five commands")
      for (number, request) in requests.enumerated() {
        let reply = try peer.receive("five replies")
        try Peer.requireReply(reply, to: request.command, UInt16(number))
        try require(
          "whether command \(number + 1) of 5 fails",
          reply.errno != nil, is: number == 1 || number == 3)
      }
    },
    Check(127, .framing, "A message below the size of a header is not carried out", Clause.header) {
      probe throws(Verdict) in
      for size: UInt32 in [0, 8, 15] {
        let peer = try probe.open()
        try peer.refuseOrEnd(
          Request.deviceInfo().with { $0.size = size }, "a message of \(size) bytes")
      }
      try probe.requireAlive(after: "a size below that of a header")
    },
    Check(128, .framing, "A message of 4 GiB is not waited for", Clause.security) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let request = Request(.deviceGetInfo, .u32(16, 0, 0, 0)).with { $0.size = .max }
      try peer.refuseOrEnd(request, "a message of 2^32 - 1 bytes")
      try probe.requireAlive(after: "a message of 4 GiB")
    },
    Check(129, .framing, "A payload that is cut short is refused", Clause.commands) {
      probe throws(Verdict) in
      let peer = try probe.open()
      for request in [
        Request.deviceInfo(), .regionInfo(0), .irqInfo(0), .map(0, 4096), .unmap(0, 4096),
        .read(RegionFacts.configuration, 0, 4), .setIRQs(33, 0, count: 0),
      ] {
        try peer.refuse(
          request.with { $0.payload = Array($0.payload.prefix(3)) },
          "\(request.command) with 3 bytes")
      }
      try peer.fence("payloads that are cut short")
    },
    Check(130, .framing, "An empty payload where one is needed is refused", Clause.commands) {
      probe throws(Verdict) in
      let peer = try probe.open()
      for command: Command in [
        .deviceGetInfo, .deviceGetRegionInfo, .deviceGetIRQInfo, .deviceSetIRQs, .dmaMap,
        .dmaUnmap, .regionRead, .regionWrite,
      ] {
        try peer.refuse(Request(command), "\(command) without a payload")
      }
    },
    Check(
      131, .framing, "Descriptors that a command does not need do not disturb it",
      Clause.security
    ) { probe throws(Verdict) in
      let peer = try probe.open()
      let file = try memory(4096)
      _ = try peer.ask(Request.deviceInfo().carrying([file]))
      try peer.fence("a descriptor that nobody needs")
    },
  ]

  /// Sends DEVICE_GET_INFO in two pieces, cut at each of these places.
  private static func sendSplit(_ probe: Probe, at places: Range<Int>) throws(Verdict) {
    let peer = try probe.open()
    for place in places {
      let id = peer.nextID()
      let bytes = Request.deviceInfo().bytes(id: id)
      try peer.send(Array(bytes[..<place]), of: "\(place) bytes of a message")
      probe.pause(.milliseconds(1))
      try peer.send(Array(bytes[place...]), of: "the rest of a message")
      let reply = try peer.receive("a reply to a message cut behind \(place) bytes")
      try Peer.requireReply(reply, to: .deviceGetInfo, id)
      guard let errno = reply.errno else { continue }
      throw .failed(
        expected: "DEVICE_GET_INFO succeeds", seen: Sight("error \(errno)", .refusal(errno)))
    }
  }

  /// A memory file to send.
  static func memory(_ size: UInt64) throws(Verdict) -> HeldDescriptor {
    do {
      return try HeldDescriptor.memory(size)
    } catch {
      throw .skipped("no memory file can be made: \(error)")
    }
  }
}
