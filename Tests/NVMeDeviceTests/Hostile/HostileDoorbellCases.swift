import NVMeDriver
import NVMeProtocol
import Testing
import VFIOUserClient
import VFIOUserProtocol

/// Doorbells and registers that are written wrongly.
enum HostileDoorbellCases {
  static let doorbells: [HostileCase] = [
    .init("a tail is behind the end of its queue", .event(.invalidDoorbellValue)) { guest in
      try guest.queue.writeDoorbell(.submission, 64)
      return try guest.event()
    },
    .init("a tail is all ones", .event(.invalidDoorbellValue)) { guest in
      try guest.queue.writeDoorbell(.submission, .max)
      return try guest.event()
    },
    .init("a tail has bits above 16", .event(.invalidDoorbellValue)) { guest in
      try guest.queue.writeDoorbell(.submission, 0x1_0000)
      return try guest.event()
    },
    .init("a head is behind the end of its queue", .event(.invalidDoorbellValue)) { guest in
      try guest.queue.writeDoorbell(.completion, 64)
      return try guest.event()
    },
    .init("a head is in front of the answers", .nothing) { guest in
      // Only its own answers are at stake, and the specification leaves open whether it is told.
      try guest.queue.writeDoorbell(.completion, 30)
      return try guest.awaitIdle()
    },
    .init("the admin tail is behind the end", .event(.invalidDoorbellValue)) { guest in
      try guest.controller.setRegister(RegisterOffset.submissionTail(0), 5000)
      return try guest.event()
    },
    .init("a tail belongs to no queue", .event(.invalidDoorbellRegister)) { guest in
      try guest.controller.setRegister(RegisterOffset.submissionTail(3), 1)
      return try guest.event()
    },
    .init("a head belongs to no queue", .event(.invalidDoorbellRegister)) { guest in
      try guest.controller.setRegister(RegisterOffset.completionHead(3), 1)
      return try guest.event()
    },
    .init(
      "a doorbell belongs to no queue that could be", .event(.invalidDoorbellRegister)
    ) {
      guest in
      try guest.controller.setRegister(0x1000 + 8 * 100, 1)
      return try guest.event()
    },
    .init("the same tail again", .nothing) { guest in
      for _ in 0..<100 { try guest.queue.writeDoorbell(.submission, UInt32(guest.queue.tail)) }
      return try guest.awaitIdle()
    },
    .init("doorbells of odd sizes and places", .nothing) { guest in
      let client = guest.controller.client
      for (offset, count) in [
        (0x1008, 1), (0x1009, 2), (0x100A, 4), (0x1007, 8), (0x1001, 3), (0x1000, 64),
      ] {
        try? client.write(.bar0, at: UInt64(offset), from: [UInt8](repeating: 0xFF, count: count))
      }
      _ = try? client.read(.bar0, at: 0x1000, count: 4096)
      return try guest.awaitIdle(aliveOnly: true)
    },
    .init("a queue full of ones", .invalidField) { guest in
      guest.queue.submission.fill(with: 0xFF)
      return try guest.ringAll(63)
    },
    .init("a queue full of zeros with one id", .invalidNamespace) { guest in
      guest.queue.submission.fill(with: 0)
      return try guest.ringAll(63)
    },
    .init("answers that nobody takes", .nothing) { guest in
      // Three times as many commands as there is room for answers.
      for turn in 0..<190 {
        let place = turn % 64
        var entry = SubmissionEntry.flush(1)
        entry.commandID = UInt16(turn)
        guest.queue.write(entry, at: place)
        try guest.queue.writeDoorbell(.submission, UInt32((place + 1) % 64))
      }
      return try guest.awaitIdle(aliveOnly: true)
    },
    .init("ids that are in use", .commandIDConflict) { guest in
      // Writes that have to be on the disk: none is done before the next has been seen.
      var entry = SubmissionEntry.write(1, to: 0, blocks: 8)
      entry.point(to: guest.buffer, count: 4096)
      entry.dword12 |= 1 << 30
      entry.commandID = 7
      for place in 0..<40 { guest.queue.write(entry, at: place) }
      return try guest.ringAll(40)
    },
  ]

  static let registers: [HostileCase] = [
    .init("registers of odd sizes and places", .nothing) { guest in
      let client = guest.controller.client
      for offset in 0..<0x48 as Range<UInt64> {
        for count in [1, 2, 3, 4, 5, 8, 16, 100] {
          // CC is left alone, or the controller would be reset; that is the next case.
          guard offset + UInt64(count) <= 0x14 || offset >= 0x18, offset != 0x20 else { continue }
          try? client.write(.bar0, at: offset, from: [UInt8](repeating: 0x5A, count: count))
          _ = try? client.read(.bar0, at: offset, count: count)
        }
      }
      return try guest.awaitIdle(aliveOnly: true)
    },
    .init("CC written byte by byte, with all bits", .nothing) { guest in
      let before = try guest.controller.configuration
      for offset in 0x14..<0x18 as Range<UInt64> {
        try? guest.controller.client.write(.bar0, at: offset, from: [0xFF])
      }
      // Registers are written in whole words, or not at all.
      #expect(try guest.controller.configuration == before)
      return try guest.awaitIdle()
    },
    .init("CC.EN a hundred times", .nothing) { guest in
      for turn in 0..<100 as Range<UInt32> {
        try guest.controller.setRegister(RegisterOffset.configuration, 0x0046_0000 | turn & 1)
      }
      return try guest.awaitIdle(aliveOnly: true)
    },
    .init("a whole BAR of ones", .nothing) { guest in
      let size = try guest.controller.client.region(.bar0).size
      let ones = [UInt8](repeating: 0xFF, count: Int(size))
      try? guest.controller.client.write(.bar0, at: 0, from: ones)
      return try guest.awaitIdle(aliveOnly: true)
    },
    .init("reads and writes behind the BAR", .nothing) { guest in
      let client = guest.controller.client
      let size = try client.region(.bar0).size
      for offset in [size, size - 1, .max, .max - 3] {
        #expect(throws: ClientError.self) { try client.read(.bar0, at: offset, count: 4) }
        #expect(throws: ClientError.self) {
          try client.write(.bar0, at: offset, from: [1, 2, 3, 4])
        }
      }
      return try guest.awaitIdle()
    },
    .init("shadow doorbells that are not aligned", .invalidField) { guest in
      var entry = SubmissionEntry(opcode: AdminOpcode.doorbellBufferConfig.rawValue)
      entry.dataPointer1 = guest.page(0) + 4
      entry.dataPointer2 = guest.page(1)
      return try guest.admin(entry)
    },
    .init("shadow doorbells in a hole", .dataTransferError) { guest in
      var entry = SubmissionEntry(opcode: AdminOpcode.doorbellBufferConfig.rawValue)
      entry.dataPointer1 = HostileGuest.hole
      entry.dataPointer2 = HostileGuest.hole + 4096
      let reaction = try guest.admin(entry)
      _ = try? guest.io(guest.readEntry())
      return reaction
    },
    .init("shadow doorbells full of ones", Reaction.success) { guest in
      var entry = SubmissionEntry(opcode: AdminOpcode.doorbellBufferConfig.rawValue)
      entry.dataPointer1 = guest.page(0)
      entry.dataPointer2 = guest.page(1)
      let reaction = try guest.admin(entry)
      guest.buffer.data.fill(with: 0xFF)
      for value in [1, 2, 3] as [UInt32] { try guest.queue.writeDoorbell(.submission, value) }
      _ = try guest.awaitIdle(aliveOnly: true)
      return reaction
    },
  ]
}

extension HostileGuest {
  /// Waits until the controller has seen everything, by asking it something.
  ///
  /// - Parameter aliveOnly: the admin queue may be spoilt too; then registers are asked.
  func awaitIdle(aliveOnly: Bool = false) throws -> Reaction {
    guard !aliveOnly else { return try controller.status.isFatal ? .fatal : .nothing }
    let features = SubmissionEntry(opcode: AdminOpcode.getFeatures.rawValue)
    let reaction = try admin(features)
    if let event = controller.takeEvent() { return .event(event) }
    return reaction == .fatal ? .fatal : .nothing
  }

  /// Shows the controller raw entries.
  ///
  /// - Returns: what most of the commands came to.
  func ringAll(_ entries: UInt32) throws -> Reaction {
    let start = queue.head
    try queue.writeDoorbell(.submission, entries)
    let last = queue.completion.offset + UInt64((start + Int(entries) - 1) * 16 + 8)
    let memory = queue.completion.memory
    let end = ContinuousClock.now + .seconds(10)
    while memory.load(at: last, as: UInt64.self) >> 48 & 1 == 0, ContinuousClock.now < end {
      if try controller.status.isFatal { return .fatal }
    }
    var counts: [Reaction: Int] = [:]
    for index in 0..<Int(entries) {
      let second: UInt64 = memory.load(
        at: queue.completion.offset + UInt64((start + index) * 16 + 8))
      #expect(second >> 48 & 1 == 1, "command \(index) was not answered")
      counts[Reaction(Status(rawValue: UInt16(second >> 49))), default: 0] += 1
    }
    return counts.max { $0.value < $1.value }?.key ?? .nothing
  }
}
