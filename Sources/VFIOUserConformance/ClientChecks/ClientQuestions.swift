internal import VFIOUserProtocol

extension ClientCheck {
  private static let read = "VFIO_USER_DMA_READ"
  private static let write = "VFIO_USER_DMA_WRITE"

  static let questions: [ClientCheck] = [
    question(2801, "DMA_READ inside of a window is answered with the data", read, "inside") {
      reply throws(Verdict) in
      try requireSuccess(reply)
      try require("the payload's size", reply.payload.count, is: 16 + 16)
    },
    question(2802, "The reply to DMA_READ repeats address and count", read, "inside") {
      reply throws(Verdict) in
      try requireSuccess(reply)
      try require("the count", reply.long(8), is: 16)
      try require(reply.long(0) & 0xFFF == 0, "the address that was asked", saw: hex(reply.long(0)))
    },
    question(2803, "DMA_WRITE inside of a window succeeds", write, "write", requireSuccess),
    question(2804, "The reply to DMA_WRITE has address and count, and no data", write, "write") {
      reply throws(Verdict) in
      try requireSuccess(reply)
      // The specification's table has a count of 4 bytes here and one of 8 in the request.
      try require(
        [12, 16].contains(reply.payload.count), "12 bytes, or 16 as in the request",
        saw: "\(reply.payload.count)")
      try require("the count", reply.word(8), is: 15)
    },
    question(2805, "What DMA_WRITE wrote DMA_READ reads", write, "after") {
      reply throws(Verdict) in
      try requireSuccess(reply)
      try require(
        reply.payload.dropFirst(16).elementsEqual("vfio-user check".utf8), "what was written",
        saw: shown(Array(reply.payload.dropFirst(16))))
    },
    question(2806, "The last byte of a window can be read", read, "last", requireSuccess),
    question(2807, "DMA_READ outside of all windows is refused", read, "outside", requireError),
    question(
      2808, "DMA_WRITE outside of all windows is refused", write, "outside-write",
      requireError),
    question(2809, "DMA_READ that passes 2^64 is refused", read, "wrapping", requireError),
    question(2810, "DMA_READ of 2^64 - 1 bytes is refused", read, "huge", requireError),
    question(
      2811, "DMA_WRITE with less data than it says is refused", write, "short",
      requireError),
    ClientCheck(
      2812, "questions", "An unknown command of the server does no harm",
      Clause.commands, .asking
    ) { transcript, _ throws(Verdict) in
      guard !transcript.questions.isEmpty else { throw .skipped(nothingToAsk) }
      try skipIfRefused(transcript)
      guard transcript.questions.last?.reply?.errno == nil,
        transcript.questions.last?.reply != nil
      else { throw fail("DMA_READ is still answered", saw: "no answer, or an error") }
    },
    ClientCheck(
      2813, "questions", "The questions of the server do not end the client",
      Clause.security, .asking
    ) { transcript, plain throws(Verdict) in
      guard !transcript.questions.isEmpty else { throw .skipped(nothingToAsk) }
      try requireOrderlyEnd(transcript, plain)
    },
    ClientCheck(
      2814, "questions", "Replies repeat the server's message ID and command",
      Clause.header, .asking
    ) { transcript, _ throws(Verdict) in
      guard !transcript.questions.isEmpty else { throw .skipped(nothingToAsk) }
      for question in transcript.questions where question.name != "unknown" {
        guard let reply = question.reply else {
          throw fail("a reply to \(question.command) \(question.name)", saw: "none")
        }
        try require("the command of the reply", reply.header.command, is: question.command)
      }
    },
    ClientCheck(2815, "questions", "An error reply is a header only", Clause.header, .asking) {
      transcript, _ throws(Verdict) in
      guard !transcript.questions.isEmpty else { throw .skipped(nothingToAsk) }
      for question in transcript.questions where question.reply?.errno != nil {
        let count = question.reply?.payload.count ?? 0
        try require(count == 0, "16 bytes", saw: "\(count + 16)")
      }
    },
  ]

  private static let nothingToAsk = "the client lends no memory that can be read and written"

  private static func question(
    _ number: Int, _ title: String, _ clause: String, _ name: String,
    _ judge: @escaping @Sendable (Message) throws(Verdict) -> Void
  ) -> ClientCheck {
    ClientCheck(number, "questions", title, clause, .asking) { transcript, _ throws(Verdict) in
      guard let question = transcript.questions.first(where: { $0.name == name }) else {
        throw .skipped(nothingToAsk)
      }
      guard let reply = question.reply else {
        throw .failed(
          expected: "a reply to \(question.command)",
          seen: Sight("none before the scenario ended", .silence))
      }
      if ["inside", "write", "after", "last"].contains(name) { try skipIfRefused(transcript) }
      try judge(reply)
    }
  }

  /// A VMM may refuse a device's DMA as long as the guest has not enabled it.
  private static func skipIfRefused(_ transcript: Transcript) throws(Verdict) {
    let inside = transcript.questions.first { $0.name == "inside" }
    guard inside?.reply?.errno != nil, !transcript.isBusMaster else { return }
    throw .skipped("the client refuses DMA, and the guest has not enabled bus mastering")
  }

  private static func requireSuccess(_ reply: Message) throws(Verdict) {
    guard let errno = reply.errno else { return }
    throw .failed(expected: "success", seen: Sight("error \(errno)", .refusal(errno)))
  }

  private static func requireError(_ reply: Message) throws(Verdict) {
    guard reply.errno == nil else { return }
    throw .failed(expected: "an error reply", seen: Sight("success", .success))
  }
}
