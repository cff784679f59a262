internal import VFIOUserProtocol

extension ClientCheck {
  static let memory: [ClientCheck] = [
    ClientCheck(2201, "memory", "DMA_MAP has 32 bytes, and argsz says so", Clause.map) {
      transcript, _ throws(Verdict) in
      try each(.dmaMap, transcript) { message throws(Verdict) in
        try require("the payload's size", message.payload.count, is: 32)
        try require("argsz", message.word(0), is: 32)
      }
    },
    ClientCheck(2202, "memory", "A window can be read or written", Clause.map) {
      transcript, _ throws(Verdict) in
      try each(.dmaMap, transcript) { message throws(Verdict) in
        let flags = message.word(4)
        // Bits 2 and 3 say how a descriptor may be used.
        try require(flags & 3 != 0 && flags & ~15 == 0, "bit 0 or 1", saw: hex(flags))
      }
    },
    ClientCheck(2203, "memory", "A window has bytes and ends below 2^64", Clause.map) {
      transcript, _ throws(Verdict) in
      try each(.dmaMap, transcript) { message throws(Verdict) in
        let (_, wraps) = message.long(16).addingReportingOverflow(message.long(24) &- 1)
        try require(
          message.long(24) > 0 && !wraps, "a size above 0 that fits",
          saw: "\(hex(message.long(24))) bytes at \(hex(message.long(16)))")
      }
    },
    ClientCheck(
      2204, "memory", "Windows do not overlap, and only those that exist are removed",
      Clause.map
    ) { transcript, _ throws(Verdict) in
      guard !transcript.commands(.dmaMap).isEmpty else {
        throw .skipped("the client lends nothing")
      }
      let fault = transcript.windowFaults.first
      try require(fault == nil, "windows apart, and exact DMA_UNMAPs", saw: fault ?? "")
    },
    ClientCheck(2205, "memory", "A window has one descriptor at most", Clause.map) {
      transcript, _ throws(Verdict) in
      try each(.dmaMap, transcript) { message throws(Verdict) in
        let count = message.descriptors.count
        try require(count <= 1, "0 or 1", saw: "\(count)")
      }
    },
    ClientCheck(2206, "memory", "A window's file is as large as the window says", Clause.map) {
      transcript, _ throws(Verdict) in
      var isShared = false
      try each(.dmaMap, transcript) { message throws(Verdict) in
        guard let file = message.descriptors.first else { return }
        isShared = true
        let (end, wraps) = message.long(8).addingReportingOverflow(message.long(24))
        try require(
          !wraps && (file.mappableSize ?? 0) >= end, "a file of \(hex(end)) bytes or more",
          saw: file.mappableSize.map(hex) ?? "a file that cannot be mapped")
      }
      if !isShared { throw .skipped("the client lends no memory by descriptors") }
    },
    ClientCheck(2207, "memory", "A window without a descriptor has an offset of 0", Clause.map) {
      transcript, _ throws(Verdict) in
      var isPrivate = false
      try each(.dmaMap, transcript) { message throws(Verdict) in
        guard message.descriptors.isEmpty else { return }
        isPrivate = true
        try require("the offset", message.long(8), is: 0)
      }
      if !isPrivate { throw .skipped("each window has a descriptor") }
    },
    ClientCheck(2208, "memory", "DMA_UNMAP has the size of its structure", Clause.unmap) {
      transcript, _ throws(Verdict) in
      try each(.dmaUnmap, transcript) { message throws(Verdict) in
        let isBitmapAsked = message.word(4) & 1 != 0
        try require("the payload's size", message.payload.count, is: isBitmapAsked ? 40 : 24)
        try require(message.word(0) >= 24, "argsz of 24 or more", saw: "\(message.word(0))")
      }
    },
  ]

  static let interrupts: [ClientCheck] = [
    ClientCheck(
      2301, "interrupts", "SET_IRQS names one kind of data and one action",
      Clause.setIRQs
    ) { transcript, _ throws(Verdict) in
      try each(.deviceSetIRQs, transcript) { message throws(Verdict) in
        let flags = message.word(4)
        try require(
          (flags & 7).nonzeroBitCount == 1 && (flags & 0x38).nonzeroBitCount == 1
            && flags & ~0x3F == 0, "one of bits 0 to 2, one of bits 3 to 5", saw: hex(flags))
      }
    },
    ClientCheck(2302, "interrupts", "SET_IRQS has as much data as it says", Clause.setIRQs) {
      transcript, _ throws(Verdict) in
      try each(.deviceSetIRQs, transcript) { message throws(Verdict) in
        let booleans = message.word(4) & IRQSet.booleans != 0 ? Int(message.word(16)) : 0
        try require("the payload's size", message.payload.count, is: 20 + booleans)
        try require(
          message.word(0) >= 20 + booleans, "argsz of \(20 + booleans) or more",
          saw: "\(message.word(0))")
      }
    },
    ClientCheck(2303, "interrupts", "Only interrupts that are there are set", Clause.setIRQs) {
      transcript, _ throws(Verdict) in
      try each(.deviceSetIRQs, transcript) { message throws(Verdict) in
        let (index, start, count) = (message.word(8), message.word(12), message.word(16))
        let counts = PlayedDevice.irqCounts
        try require(index < counts.count, "a type below \(counts.count)", saw: "\(index)")
        let (end, wraps) = start.addingReportingOverflow(count)
        try require(
          !wraps && end <= counts[Int(index)], "an end of \(counts[Int(index)]) at most",
          saw: "start \(start), count \(count)")
      }
    },
    ClientCheck(
      2304, "interrupts", "An eventfd comes for each interrupt, or none at all",
      Clause.setIRQs
    ) { transcript, _ throws(Verdict) in
      try each(.deviceSetIRQs, transcript) { message throws(Verdict) in
        let wanted = message.word(4) & IRQSet.eventfd != 0 ? Int(message.word(16)) : 0
        let count = message.descriptors.count
        try require(count == 0 || count == wanted, "0 or \(wanted) descriptors", saw: "\(count)")
      }
    },
    ClientCheck(2305, "interrupts", "The descriptors of SET_IRQS are eventfds", Clause.setIRQs) {
      transcript, _ throws(Verdict) in
      try each(.deviceSetIRQs, transcript) { message throws(Verdict) in
        for descriptor in message.descriptors {
          try require(descriptor.isCounter, "an eventfd", saw: "another file")
        }
      }
    },
    ClientCheck(
      2306, "interrupts", "No message has more descriptors than the server takes",
      Clause.version, oneDescriptor
    ) { transcript, plain throws(Verdict) in
      guard plain.messages.contains(where: { !$0.descriptors.isEmpty }) else {
        throw .skipped("the client sends no descriptors")
      }
      for message in transcript.messages {
        try require(
          message.descriptors.count <= 1, "1 at most", saw: "\(message.descriptors.count)")
      }
    },
    ClientCheck(2307, "interrupts", "Interrupts do not disturb the client", Clause.setIRQs) {
      transcript, _ throws(Verdict) in
      guard transcript.commands(.deviceSetIRQs).contains(where: { !$0.descriptors.isEmpty }) else {
        throw .skipped("the client sets no eventfd")
      }
      try requireAlive(transcript)
    },
  ]

  /// A server that takes one descriptor with a message, which is also what it is if it says nothing.
  private static let oneDescriptor = Scenario("max_msg_fds 1", .version) { request, answer in
    let proposed: UInt16 = request.payload.number(at: 2) ?? 0
    let json = #"{"capabilities":{"max_msg_fds":1}}"#
    answer.payload = PlayedDevice.version(json, minor: min(1, proposed))
  }

  /// Fails when a signal ended the client.
  static func requireAlive(_ transcript: Transcript) throws(Verdict) {
    if case .exited(let code) = transcript.ending, code < 0 {
      throw .failed(
        expected: "that no signal ends the client", seen: Sight("\(transcript.ending)", .end))
    }
  }
}
