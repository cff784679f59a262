import NVMeDriver
import NVMeProtocol
import TestSupport
import Testing
import VFIOUserClient

/// Queues that cannot be.
enum HostileQueueCases {
  static let enabling: [HostileCase] = [
    .init("ASQ does not start a page", .fatal) { guest in
      try guest.enabling { controller in
        try controller.setRegister(RegisterOffset.adminSubmissionQueue, wide: 0x10_0008)
        return nil
      }
    },
    .init("ASQ lies in a hole", .fatal) { guest in
      try guest.enabling { controller in
        try controller.setRegister(
          RegisterOffset.adminSubmissionQueue, wide: HostileGuest.hole)
        return nil
      }
    },
    .init("ACQ lies in a hole", .fatal) { guest in
      try guest.enabling { controller in
        try controller.setRegister(
          RegisterOffset.adminCompletionQueue, wide: HostileGuest.hole)
        return nil
      }
    },
    .init("ACQ lies in memory that is read-only", .fatal) { guest in
      try guest.enabling { controller in
        try controller.setRegister(
          RegisterOffset.adminCompletionQueue, wide: HostileGuest.readOnly)
        return nil
      }
    },
    .init("ASQ lies in memory that is write-only", .fatal) { guest in
      try guest.enabling { controller in
        try controller.setRegister(
          RegisterOffset.adminSubmissionQueue, wide: HostileGuest.writeOnly)
        return nil
      }
    },
    .init("ASQ passes the last address", .fatal) { guest in
      try guest.enabling { controller in
        try controller.setRegister(
          RegisterOffset.adminSubmissionQueue, wide: UInt64.max - 0xFFF)
        return nil
      }
    },
    .init("ACQ passes the last address", .fatal) { guest in
      try guest.enabling { controller in
        try controller.setRegister(
          RegisterOffset.adminCompletionQueue, wide: UInt64.max - 0xFFF)
        return nil
      }
    },
    .init("AQA has queues of one entry", .fatal) { guest in
      try guest.enabling { controller in
        try controller.setRegister(RegisterOffset.adminQueueAttributes, 0)
        return nil
      }
    },
    .init("CC.MPS is larger than CAP says", .fatal) { guest in
      try guest.enabling { _ in 0x0046_0001 | 15 << 7 }
    },
    .init("CC.CSS names no command set", .fatal) { guest in
      try guest.enabling { _ in 0x0046_0001 | 5 << 4 }
    },
    .init("CC.AMS names no arbitration", .fatal) { guest in
      try guest.enabling { _ in 0x0046_0001 | 7 << 11 }
    },
  ]

  static let creating: [HostileCase] = [
    .init("a completion queue has number 0", .invalidQueueID) { guest in
      try guest.create(.createCompletionQueue, 0)
    },
    .init("a completion queue has number 65535", .invalidQueueID) { guest in
      try guest.create(.createCompletionQueue, 0xFFFF)
    },
    .init("a completion queue is created twice", .invalidQueueID) { guest in
      try guest.create(.createCompletionQueue, 1)
    },
    .init("a completion queue has one entry", .invalidQueueSize) { guest in
      try guest.create(.createCompletionQueue, 2, entries: 1)
    },
    .init("a completion queue is longer than CAP says", .invalidQueueSize) { guest in
      try guest.create(.createCompletionQueue, 2, entries: 65)
    },
    .init("a completion queue has 65536 entries", .invalidQueueSize) { guest in
      try guest.create(.createCompletionQueue, 2, entries: 65536)
    },
    .init("a completion queue does not start a page", .prpOffsetInvalid) { guest in
      try guest.create(.createCompletionQueue, 2, address: 0x10_0010)
    },
    .init("a completion queue is a list of pages", .invalidField) { guest in
      try guest.create(.createCompletionQueue, 2, dword11: 0b10)
    },
    .init("a completion queue has a vector that is not there", .invalidInterruptVector) { guest in
      try guest.create(.createCompletionQueue, 2, dword11: 0xFFFF << 16 | 0b11)
    },
    .init("a submission queue has number 0", .invalidQueueID) { guest in
      try guest.create(.createSubmissionQueue, 0, dword11: 1 << 16 | 1)
    },
    .init("a submission queue is created twice", .invalidQueueID) { guest in
      try guest.create(.createSubmissionQueue, 1, dword11: 1 << 16 | 1)
    },
    .init("a submission queue comes before its completion queue", .completionQueueInvalid) {
      guest in
      try guest.create(.createSubmissionQueue, 2, dword11: 2 << 16 | 1)
    },
    .init("a submission queue is answered in a queue that cannot be", .invalidQueueID) {
      guest in
      try guest.create(.createSubmissionQueue, 2, dword11: 0xFFFF << 16 | 1)
    },
    .init("a submission queue is answered in the admin queue", .invalidQueueID) { guest in
      try guest.create(.createSubmissionQueue, 2, dword11: 1)
    },
    .init("a submission queue has one entry", .invalidQueueSize) { guest in
      try guest.create(.createSubmissionQueue, 2, entries: 1, dword11: 1 << 16 | 1)
    },
    .init("a submission queue is longer than CAP says", .invalidQueueSize) { guest in
      try guest.create(.createSubmissionQueue, 2, entries: 65, dword11: 1 << 16 | 1)
    },
    .init("a submission queue does not start a page", .prpOffsetInvalid) { guest in
      try guest.create(.createSubmissionQueue, 2, address: 0x10_0040, dword11: 1 << 16 | 1)
    },
    .init("a submission queue is a list of pages", .invalidField) { guest in
      try guest.create(.createSubmissionQueue, 2, dword11: 1 << 16)
    },
    .init("a completion queue goes before its submission queue", .invalidQueueDeletion) { guest in
      try guest.delete(.deleteCompletionQueue, 1)
    },
    .init("a submission queue is deleted that is not there", .invalidQueueID) { guest in
      try guest.delete(.deleteSubmissionQueue, 3)
    },
    .init("the admin submission queue is deleted", .invalidQueueID) { guest in
      try guest.delete(.deleteSubmissionQueue, 0)
    },
    .init("the admin completion queue is deleted", .invalidQueueID) { guest in
      try guest.delete(.deleteCompletionQueue, 0)
    },
    .init("a queue of number 65535 is deleted", .invalidQueueID) { guest in
      try guest.delete(.deleteCompletionQueue, 0xFFFF)
    },
    .init("answers go to a completion queue in a hole", .fatal) { guest in
      try guest.useQueue2(completions: HostileGuest.hole)
    },
    .init("answers go to a completion queue in read-only memory", .fatal) { guest in
      try guest.useQueue2(completions: HostileGuest.readOnly)
    },
    .init("commands come from a submission queue in a hole", .fatal) { guest in
      try guest.useQueue2(submissions: HostileGuest.hole)
    },
    .init("commands come from a submission queue at the last address", .fatal) { guest in
      try guest.useQueue2(submissions: UInt64.max - 0xFFF)
    },
    .init("queues lie in memory that is reached by messages", Reaction.success) { guest in
      try guest.flushByMessages()
    },
  ]
}

extension HostileGuest {
  /// Creates a queue of 64 entries, unless told otherwise; bits of dword 11 as in the specification.
  func create(
    _ opcode: AdminOpcode, _ id: UInt16, entries: Int = 64, address: UInt64? = nil,
    dword11: UInt32 = 0b01
  ) throws -> Reaction {
    var entry = SubmissionEntry(opcode: opcode.rawValue)
    entry.dataPointer1 = address ?? buffer.data.address
    entry.dword10 = UInt32(id) | UInt32(entries - 1) << 16
    entry.dword11 = dword11
    return try admin(entry)
  }

  func delete(_ opcode: AdminOpcode, _ id: UInt16) throws -> Reaction {
    var entry = SubmissionEntry(opcode: opcode.rawValue)
    entry.dword10 = UInt32(id)
    return try admin(entry)
  }

  /// Creates a second pair of queues in odd places, and has a flush carried out by them.
  func useQueue2(
    completions: UInt64? = nil, submissions: UInt64? = nil
  ) throws -> Reaction {
    let place = buffer.data.address
    try #require(
      try create(.createCompletionQueue, 2, address: completions ?? place) == .success)
    try #require(
      try create(
        .createSubmissionQueue, 2, address: submissions ?? place + 0x1000, dword11: 2 << 16 | 1)
        == .success)
    // A page of zeros is a flush of namespace 0.
    buffer.data.fill()
    return try fatalOrNothing { () throws(NVMeDriverError) in
      try controller.setRegister(RegisterOffset.submissionTail(2), 1)
    }
  }

  /// Creates a second pair of queues in memory that is reached by messages only, and flushes by them.
  func flushByMessages() throws -> Reaction {
    let place = Self.byMessage
    try #require(try create(.createCompletionQueue, 2, address: place) == .success)
    try #require(
      try create(.createSubmissionQueue, 2, address: place + 0x1000, dword11: 2 << 16 | 1)
        == .success)
    var bytes = [UInt8](repeating: 0, count: SubmissionEntry.wireSize)
    var span = bytes.mutableSpan
    var raw = unsafe span.mutableBytes
    SubmissionEntry.flush(1).encode(into: &raw)
    messageWindow.write(at: 0x1000, from: bytes)
    try controller.setRegister(RegisterOffset.submissionTail(2), 1)
    var answer: CompletionEntry?
    try #require(
      eventually {
        answer = try? CompletionEntry(
          decoding: messageWindow.read(at: 0, count: CompletionEntry.wireSize).span)
        return answer?.phase == true
      })
    return Reaction(try #require(answer).status)
  }
}
