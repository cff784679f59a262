internal import VFIOUserProtocol

extension Check {
  static let versions: [Check] = [
    Check(219, .negotiation, "A VERSION of less than 4 bytes is refused", Clause.version) {
      probe throws(Verdict) in
      for size in 0..<4 {
        let request = Request(.version, [UInt8](repeating: 0, count: size))
        try probe.requireNoAgreement(request, "a VERSION of \(size) bytes")
      }
      try probe.requireAlive(after: "a VERSION that is too short")
    },
    Check(220, .negotiation, "A command before VERSION is not carried out", Clause.version) {
      probe throws(Verdict) in
      try probe.requireNoAgreement(.deviceInfo(), "DEVICE_GET_INFO before VERSION")
      try probe.requireAlive(after: "a command before VERSION")
    },
    Check(221, .negotiation, "A second VERSION is refused", Clause.version) {
      probe throws(Verdict) in
      try probe.open().refuseOrEnd(.proposal, "a second VERSION")
      try probe.requireAlive(after: "a second VERSION")
    },
    Check(222, .negotiation, "max_msg_fds is a whole number, at least 1", Clause.version) {
      probe throws(Verdict) in
      try requireWhole("max_msg_fds", probe) { 1...UInt64(UInt32.max) ~= $0 }
    },
    Check(223, .negotiation, "max_data_xfer_size is a whole number above 0", Clause.version) {
      probe throws(Verdict) in
      try requireWhole("max_data_xfer_size", probe) { $0 > 0 }
    },
    Check(224, .negotiation, "max_dma_maps is a whole number above 0", Clause.version) {
      probe throws(Verdict) in
      try requireWhole("max_dma_maps", probe) { $0 > 0 }
    },
    Check(225, .negotiation, "pgsizes has page sizes of 4096 bytes or more", Clause.version) {
      probe throws(Verdict) in
      try requireWhole("pgsizes", probe) { $0 > 0 && $0 % 4096 == 0 }
    },
    Check(226, .negotiation, "write_multiple is a boolean", Clause.version) {
      probe throws(Verdict) in
      guard let value = try probe.negotiate().capabilities()["write_multiple"] else {
        throw .skipped("the server does not name it")
      }
      guard case .boolean = value else { throw fail("true or false", saw: "another value") }
    },
    Check(227, .negotiation, "A twin socket is the descriptor that fd_index says", Clause.version) {
      probe throws(Verdict) in
      let json = #"{"capabilities":{"max_msg_fds":8,"twin_socket":{"supported":true}}}"#
      let facts = try probe.negotiate(.version(json))
      let twin = try facts.capabilities()["twin_socket"]
      guard twin?["supported"] == .boolean(true) else {
        throw .skipped("the server makes no twin socket")
      }
      guard let index = twin?["fd_index"]?.whole else {
        throw fail("fd_index is a whole number", saw: "none")
      }
      let count = facts.message.descriptors.count
      try require(index < UInt64(count), "a descriptor for fd_index \(index)", saw: "\(count)")
      try require(facts.message.descriptors[Int(index)].isSocket, "a socket", saw: "something else")
    },
    Check(228, .negotiation, "No twin socket is made for a client that did not ask", Clause.version)
    { probe throws(Verdict) in
      let facts = try probe.negotiate()
      try require(
        try facts.capabilities()["twin_socket"]?["supported"] != .boolean(true),
        "no twin socket", saw: "one that is supported")
      let count = facts.message.descriptors.count
      try require(count == 0, "no descriptor with VERSION", saw: "\(count)")
    },
    Check(229, .negotiation, "Version data of 2 KiB is accepted", Clause.version) {
      probe throws(Verdict) in
      let filler = String(repeating: "x", count: 2000)
      _ = try probe.negotiate(.version(#"{"x-check":"\#(filler)","capabilities":{}}"#))
    },
    Check(230, .negotiation, "JSON may have white space and escapes", Clause.version) {
      probe throws(Verdict) in
      let json = "{\n\t\"capabilities\" : { \"max\\u005fmsg_fds\" : 1 } }"
      _ = try probe.negotiate(.version(json))
    },
    Check(231, .negotiation, "Nesting of a thousand levels does no harm", Clause.security) {
      probe throws(Verdict) in
      let nested =
        String(repeating: "[", count: 1000) + String(repeating: "]", count: 1000)
      try probe.requireAnswer(.version(#"{"x-check":\#(nested)}"#), "1000 levels of nesting")
    },
    Check(232, .negotiation, "VERSION may come byte by byte", Clause.header) {
      probe throws(Verdict) in
      let (_, reply) = try probe.begin { peer throws(Verdict) in
        for byte in Request.version("{}").bytes(id: 3) {
          try peer.send([byte], of: "a byte of VERSION")
          probe.pause(.microseconds(300))
        }
      }
      try require("the message ID", reply.header.id, is: 3)
      try require(reply.errno == nil, "success", saw: "an error")
    },
    Check(233, .negotiation, "A command may come together with VERSION", Clause.concurrency) {
      probe throws(Verdict) in
      let (peer, first) = try probe.begin { peer throws(Verdict) in
        try peer.send(
          Request.version("{}").bytes(id: 1) + Request.deviceInfo().bytes(id: 2),
          of: "VERSION and DEVICE_GET_INFO")
      }
      try require("the message ID of the first reply", first.header.id, is: 1)
      let second = try peer.receive("a reply to DEVICE_GET_INFO")
      try Peer.requireReply(second, to: .deviceGetInfo, 2)
      try require(second.errno == nil, "DEVICE_GET_INFO succeeds", saw: "an error")
    },
  ]

  /// Fails unless a capability is a number that makes sense; skips when the server does not name it.
  private static func requireWhole(
    _ name: String, _ probe: Probe, _ isSensible: (UInt64) -> Bool
  ) throws(Verdict) {
    guard let value = try probe.negotiate().capabilities()[name] else {
      throw .skipped("the server does not name it")
    }
    guard let number = value.whole, isSensible(number) else {
      throw fail("a number that makes sense for \(name)", saw: "\(value)")
    }
  }
}
