internal import VFIOUserProtocol

extension ClientCheck {
  static let accesses: [ClientCheck] = [
    ClientCheck(2401, "accesses", "REGION_READ has 16 bytes", Clause.read) {
      transcript, _ throws(Verdict) in
      try each(.regionRead, transcript) { message throws(Verdict) in
        try require("the payload's size", message.payload.count, is: 16)
      }
    },
    ClientCheck(2402, "accesses", "Reads stay inside of their regions", Clause.read) {
      transcript, _ throws(Verdict) in
      try each(.regionRead, transcript, requireInside)
    },
    ClientCheck(2403, "accesses", "REGION_WRITE has as much data as it says", Clause.write) {
      transcript, _ throws(Verdict) in
      try each(.regionWrite, transcript) { message throws(Verdict) in
        try require(
          "the payload's size", message.payload.count, is: 16 + Int(message.word(12)))
      }
    },
    ClientCheck(2404, "accesses", "Writes stay inside of their regions", Clause.write) {
      transcript, _ throws(Verdict) in
      try each(.regionWrite, transcript, requireInside)
    },
    ClientCheck(2405, "accesses", "Accesses have bytes", Clause.read) {
      transcript, _ throws(Verdict) in
      let all = transcript.commands(.regionRead) + transcript.commands(.regionWrite)
      guard !all.isEmpty else { throw .skipped("the client accesses no region") }
      for message in all {
        try require(message.word(12) > 0, "a count above 0", saw: "\(message.word(12))")
      }
    },
    ClientCheck(
      2406, "accesses", "No access is larger than the server's max_data_xfer_size",
      Clause.read, smallTransfers
    ) { transcript, _ throws(Verdict) in
      let all = transcript.commands(.regionRead) + transcript.commands(.regionWrite)
      guard !all.isEmpty else { throw .skipped("the client accesses no region") }
      for message in all {
        try require(message.word(12) <= 64, "64 bytes at most", saw: "\(message.word(12))")
      }
    },
    ClientCheck(
      2407, "accesses", "REGION_WRITE_MULTI is for servers that said write_multiple",
      Clause.multi
    ) { transcript, _ throws(Verdict) in
      let count = transcript.commands(.regionWriteMulti).count
      try require(count == 0, "none: the server did not say so", saw: "\(count)")
    },
  ]

  /// A server that takes 64 bytes of data in a message.
  private static let smallTransfers = Scenario("max_data_xfer_size 64", .version) {
    request, answer in
    guard let proposed = try? VersionFacts(request).capabilities(),
      proposed["max_data_xfer_size"] != nil
    else { return }
    let minor: UInt16 = request.payload.number(at: 2) ?? 0
    let json = #"{"capabilities":{"max_data_xfer_size":64}}"#
    answer.payload = PlayedDevice.version(json, minor: min(1, minor))
  }

  private static func requireInside(_ message: Message) throws(Verdict) {
    let (end, wraps) = message.long(0).addingReportingOverflow(UInt64(message.word(12)))
    let size = PlayedDevice.size(of: message.word(8))
    try require(
      !wraps && end <= size, "an end of \(hex(size)) at most in region \(message.word(8))",
      saw: "\(message.word(12)) bytes at \(hex(message.long(0)))")
  }

  static let streams: [ClientCheck] = [
    stream(2501, "A reply's header may come in two pieces", .cut(behind: 7)),
    stream(2502, "A payload may come behind its header", .cut(behind: 16)),
    stream(2503, "A payload may come in two pieces", .cut(behind: 20)),
    stream(2504, "A reply may come byte by byte", .byteByByte),
    ClientCheck(
      2505, "stream", "A reply may take a while", Clause.concurrency,
      Scenario("delays") { $0.delay = .milliseconds(20) }
    ) { transcript, plain throws(Verdict) in
      try requireUndisturbed(transcript, plain)
    },
    ClientCheck(
      2506, "stream", "A command of the server may come with a reply",
      Clause.concurrency, unaskedCommand
    ) { transcript, plain throws(Verdict) in
      try requireUndisturbed(transcript, plain)
      try requireAnswered(transcript)
    },
    ClientCheck(
      2507, "stream", "A command of the server may come before a reply",
      Clause.concurrency, commandBeforeReply
    ) { transcript, plain throws(Verdict) in
      try requireUndisturbed(transcript, plain)
      try requireAnswered(transcript)
    },
    ClientCheck(
      2508, "stream", "A reply that nobody awaits does no harm", Clause.security,
      Scenario("a reply too many", .deviceGetInfo) { _, answer in
        let header = Header(id: 0xBEEF, command: .deviceReset, size: 16, flags: .reply)
        answer.after = header.bytes
      }
    ) { transcript, plain throws(Verdict) in
      try requireOrderlyEnd(transcript, plain)
    },
  ]

  private static func stream(
    _ number: Int, _ title: String, _ delivery: Behaviour.Delivery
  ) -> ClientCheck {
    let scenario = Scenario("delivery of \(number)") { $0.delivery = delivery }
    return ClientCheck(number, "stream", title, Clause.header, scenario) {
      transcript, plain throws(Verdict) in
      try requireUndisturbed(transcript, plain)
    }
  }

  /// A DMA_READ of memory that the client never lent, with an ID of its own.
  private static let question =
    Header(id: 0x7777, command: .dmaRead, size: 32).bytes + [UInt8].u64(.max - 0xFFF, 4)

  private static let unaskedCommand = Scenario("a command with a reply", .deviceGetInfo) {
    _, answer in answer.after = question
  }
  private static let commandBeforeReply = Scenario("a command before a reply", .deviceGetInfo) {
    _, answer in answer.before = question
  }

  private static func requireAnswered(_ transcript: Transcript) throws(Verdict) {
    let reply = transcript.messages.first { $0.header.flags.isReply && $0.header.id == 0x7777 }
    guard let reply else { throw fail("a reply to the server's DMA_READ", saw: "none") }
    try require(reply.errno != nil, "an error: the client has no such memory", saw: "success")
  }
}
