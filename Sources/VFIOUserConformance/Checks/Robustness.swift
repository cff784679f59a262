internal import VFIOUserProtocol

extension Check {
  static let robustness: [Check] = [
    Check(1001, .robustness, "A client may go inside of a header", Clause.disconnection) {
      probe throws(Verdict) in
      for count in [1, 8, 15] {
        let peer = try probe.open()
        try peer.send(Array(Request.deviceInfo().bytes(id: 1)[..<count]), of: "part of a header")
        try probe.requireAlive(after: "a client that went behind \(count) bytes of a header")
      }
    },
    Check(1002, .robustness, "A client may go inside of a payload", Clause.disconnection) {
      probe throws(Verdict) in
      for count in [16, 17, 31] {
        let peer = try probe.open()
        try peer.send(Array(Request.deviceInfo().bytes(id: 1)[..<count]), of: "part of a message")
        try probe.requireAlive(after: "a client that went behind \(count) bytes of a message")
      }
    },
    Check(1003, .robustness, "A client may go without reading its replies", Clause.disconnection) {
      probe throws(Verdict) in
      let peer = try probe.open()
      for _ in 0..<32 { try peer.send(.deviceInfo()) }
      try probe.requireAlive(after: "a client that did not read its replies")
    },
    Check(1004, .robustness, "A client that says nothing may go", Clause.disconnection) {
      probe throws(Verdict) in
      for _ in 0..<5 { _ = try probe.dial() }
      try probe.requireAlive(after: "clients that said nothing")
    },
    Check(1005, .robustness, "Clients may come one after the other", Clause.disconnection) {
      probe throws(Verdict) in
      for _ in 0..<20 { try probe.open().fence("VERSION") }
    },
    Check(1006, .robustness, "Random bytes do no harm", Clause.security) { probe throws(Verdict) in
      for seed: UInt64 in 1...4 {
        let peer = try probe.open()
        _ = peer.wire.push(Noise.bytes(4096, seed: seed), from: 0)
        try probe.requireAlive(after: "4096 random bytes")
      }
    },
    Check(1007, .robustness, "Random payloads do no harm", Clause.security) {
      probe throws(Verdict) in
      var peer = try probe.open()
      for number: UInt16 in 1...18 where number != Command.deviceReset.rawValue {
        let noise = Noise.bytes(64, seed: UInt64(number))
        // Accesses and changes of state are aimed at what does not exist.
        let payload = [UInt8](repeating: 0xFF, count: 16) + noise
        do throws(Verdict) {
          _ = try peer.ask(Request(Command(rawValue: number), payload))
        } catch {
          guard case .failed(_, let seen) = error, seen.kind == .end else { throw error }
          peer = try probe.open()
        }
      }
      try probe.requireAlive(after: "random payloads")
    },
    Check(1008, .robustness, "Random bytes as the first message do no harm", Clause.security) {
      probe throws(Verdict) in
      for seed: UInt64 in 10...13 {
        let peer = try probe.dial()
        _ = peer.wire.push(Noise.bytes(256, seed: seed), from: 0)
        try probe.requireAlive(after: "random bytes instead of VERSION")
      }
    },
    Check(1009, .robustness, "A thousand commands at once are all answered", Clause.concurrency) {
      probe throws(Verdict) in
      try flood(probe.open(), 1000)
    },
    Check(1010, .robustness, "A client may read slowly", Clause.concurrency) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let ids = (0..<200).map { _ in peer.nextID() }
      try peer.send(ids.flatMap { Request.regionInfo(7).bytes(id: $0) }, of: "200 commands")
      for (place, id) in ids.enumerated() {
        if place % 50 == 0 { probe.pause(.milliseconds(2)) }
        let reply = try peer.receive("200 replies")
        try require("the message ID", reply.header.id, is: id)
      }
    },
    Check(1011, .robustness, "The device keeps its state when a client goes", Clause.disconnection)
    { probe throws(Verdict) in
      let peer = try probe.open()
      let before = try InterruptLine.read(peer)
      try peer.succeed(InterruptLine.write(0x42))
      let starts = probe.serverStarts
      let next = try probe.open()
      guard probe.serverStarts == starts else {
        throw .skipped("the server ends with its client, and so does its device")
      }
      try require("the interrupt line after another client", InterruptLine.read(next), is: 0x42)
      try next.succeed(InterruptLine.write(before))
    },
    Check(1012, .robustness, "A second client does not disturb the first", "Socket") {
      probe throws(Verdict) in
      let first = try probe.open()
      let second = try probe.dialAnother()
      _ = second.wire.push(Request.proposal.bytes(id: 1), from: 0)
      for _ in 0..<20 { try first.fence("a second client") }
      second.wire.close()
      try first.fence("a second client that went")
    },
    Check(1013, .robustness, "A client may say that it sends no more", Clause.disconnection) {
      probe throws(Verdict) in
      let peer = try probe.open()
      try peer.send(.deviceInfo())
      peer.wire.finishSending()
      try probe.requireAlive(after: "a client that sends no more")
    },
    Check(
      1014, .robustness, "Descriptors with a message that is refused do no harm",
      Clause.security
    ) { probe throws(Verdict) in
      let peer = try probe.open()
      let files = [try memory(4096), try memory(4096)]
      let unknown = Request(Command(rawValue: 0x7F)).carrying(files)
      for _ in 0..<64 { try peer.refuse(unknown, "an unknown command with descriptors") }
      try peer.fence("128 descriptors with commands that are refused")
    },
    Check(1015, .robustness, "More descriptors than max_msg_fds do no harm", Clause.version) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let file = try memory(4096)
      let many = [HeldDescriptor](repeating: file, count: 100)
      try peer.send(Request.deviceInfo().carrying(many))
      _ = peer.wire.next(before: peer.deadline)
      try probe.requireAlive(after: "100 descriptors with a message")
    },
    Check(1016, .robustness, "A client may go with many windows open", Clause.disconnection) {
      probe throws(Verdict) in
      for _ in 0..<3 {
        let peer = try probe.open()
        for number: UInt64 in 0..<32 {
          let request = Request.map(Window.address + number * 0x4000, 0x4000)
          try peer.succeed(request.carrying([try memory(0x4000)]), "window \(number + 1)")
        }
      }
      try probe.requireAlive(after: "clients with 32 windows")
    },
    Check(1017, .robustness, "A client may go inside of VERSION", Clause.disconnection) {
      probe throws(Verdict) in
      for count in [5, 16, 20] {
        let peer = try probe.dial()
        try peer.send(Array(Request.proposal.bytes(id: 1)[..<count]), of: "part of VERSION")
        try probe.requireAlive(after: "a client that went behind \(count) bytes of VERSION")
      }
    },
  ]

  /// Sends many commands, and reads while the server does not take more.
  private static func flood(_ peer: Peer, _ count: Int) throws(Verdict) {
    let bytes = (0..<count).flatMap { Request.deviceInfo().bytes(id: UInt16($0)) }
    var (sent, answered) = (0, 0)
    while answered < count {
      if sent < bytes.count {
        guard let more = peer.wire.push(bytes, from: sent) else {
          throw .failed(expected: "\(count) replies", seen: Sight("the end", .end))
        }
        sent += more
        guard more == 0 || sent == bytes.count else { continue }
      }
      let reply = try peer.receive("\(count) replies, \(answered) came")
      try require("the message ID", reply.header.id, is: UInt16(answered))
      answered += 1
    }
  }
}

/// Bytes that look random and are the same each time.
enum Noise {
  static func bytes(_ count: Int, seed: UInt64) -> [UInt8] {
    var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
    return (0..<count).map { _ in
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      return UInt8(truncatingIfNeeded: state >> 24)
    }
  }
}
