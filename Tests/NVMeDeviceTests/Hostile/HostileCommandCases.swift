import NVMeDriver
import NVMeProtocol
import Testing

/// Commands that ask for what cannot be.
enum HostileCommandCases {
  static let io: [HostileCase] = [
    .init("a read behind the last block", .lbaOutOfRange) { guest in
      try guest.io(guest.readEntry(1, from: 32768))
    },
    .init("a read that ends behind the last block", .lbaOutOfRange) { guest in
      try guest.io(guest.readEntry(8, from: 32768 - 7))
    },
    .init("a read of the last blocks", Reaction.success) { guest in
      try guest.io(guest.readEntry(8, from: 32768 - 8))
    },
    .init("a read that wraps", .lbaOutOfRange) { guest in
      try guest.io(guest.readEntry(8, from: .max - 3))
    },
    .init("a write behind the last block", .lbaOutOfRange) { guest in
      var entry = SubmissionEntry.write(1, to: 1 << 55, blocks: 8)
      entry.point(to: guest.buffer, count: 4096)
      return try guest.io(entry)
    },
    .init("Write Zeroes behind the last block", .lbaOutOfRange) { guest in
      try guest.io(.writeZeroes(1, from: 32767, blocks: 65536))
    },
    .init("Verify that wraps", .lbaOutOfRange) { guest in
      try guest.io(.verify(1, from: .max, blocks: 2))
    },
    .init("a read of more than MDTS", .invalidField) { guest in
      try guest.io(guest.readEntry(16384))
    },
    .init("a read of more than MDTS at a place that is not there", .lbaOutOfRange) { guest in
      try guest.io(guest.readEntry(65536, from: .max))
    },
    .init("a read of namespace 0", .invalidNamespace) { guest in
      var entry = guest.readEntry()
      entry.namespaceID = 0
      return try guest.io(entry)
    },
    .init("a read of all namespaces", .invalidNamespace) { guest in
      var entry = guest.readEntry()
      entry.namespaceID = .max
      return try guest.io(entry)
    },
    .init("a read of a namespace that is not there", .invalidNamespace) { guest in
      var entry = guest.readEntry()
      entry.namespaceID = 2
      return try guest.io(entry)
    },
    .init("an I/O command that is unknown", .invalidOpcode) { guest in
      try guest.io(SubmissionEntry(opcode: 0xFF, namespaceID: 1))
    },
    .init("a fused command", .invalidField) { guest in
      var entry = guest.readEntry()
      entry.flags = CommandFlags(rawValue: 1)
      return try guest.io(entry)
    },
    .init("Compare of what is not there", .compareFailure) { guest in
      var entry = SubmissionEntry.compare(1, from: 5000, blocks: 8)
      guest.buffer.data.fill(with: 0x77)
      entry.point(to: guest.buffer, count: 4096)
      return try guest.io(entry)
    },
    .init("Dataset Management of blocks that are not there", .lbaOutOfRange) { guest in
      guest.put(SGLDescriptor(address: 0xFFFF_FFFF_0000_0000, second: .max), at: 0)
      var entry = SubmissionEntry.datasetManagement(1, ranges: 1, .deallocate)
      entry.point(to: guest.buffer, count: 4096)
      return try guest.io(entry)
    },
    .init("Dataset Management of 256 ranges of nothing", Reaction.success) { guest in
      guest.buffer.data.fill()
      var entry = SubmissionEntry.datasetManagement(1, ranges: 256, .deallocate)
      entry.point(to: guest.buffer, count: 4096)
      return try guest.io(entry)
    },
    .init("protection information that there is none of", Reaction.success) { guest in
      var entry = guest.readEntry()
      entry.dword12 |= 0b1111 << 26
      return try guest.io(entry)
    },
    .init("a metadata pointer to a hole", Reaction.success) { guest in
      var entry = guest.readEntry()
      entry.metadata = HostileGuest.hole
      return try guest.io(entry)
    },
  ]

  static let admin: [HostileCase] = [
    .init("an admin command that is unknown", .invalidOpcode) { guest in
      try guest.admin(SubmissionEntry(opcode: 0xC5))
    },
    .init("Identify of what is unknown", .invalidField) { guest in
      var entry = SubmissionEntry(opcode: AdminOpcode.identify.rawValue)
      entry.dword10 = 0xEE
      entry.point(to: guest.buffer, count: 4096)
      return try guest.admin(entry)
    },
    .init("Identify of a namespace that is not there", .invalidNamespace) { guest in
      var entry = SubmissionEntry(opcode: AdminOpcode.identify.rawValue, namespaceID: 77)
      entry.point(to: guest.buffer, count: 4096)
      return try guest.admin(entry)
    },
    .init("a log page that is unknown", .invalidLogPage) { guest in
      var entry = SubmissionEntry(opcode: AdminOpcode.getLogPage.rawValue, namespaceID: .max)
      entry.dword10 = 0xF0 | 15 << 16
      entry.point(to: guest.buffer, count: 4096)
      return try guest.admin(entry)
    },
    .init("a log page of 16 GiB", .invalidField) { guest in
      var entry = SubmissionEntry(opcode: AdminOpcode.getLogPage.rawValue, namespaceID: .max)
      entry.dword10 = UInt32(LogPage.errors.rawValue) | 0xFFFF << 16
      entry.dword11 = 0xFFFF
      entry.point(to: guest.buffer, count: 1 << 20)
      return try guest.admin(entry)
    },
    .init("a log page from an offset that is not there", .invalidField) { guest in
      var entry = SubmissionEntry(opcode: AdminOpcode.getLogPage.rawValue, namespaceID: .max)
      entry.dword10 = UInt32(LogPage.health.rawValue) | 15 << 16
      entry.dword12 = 0xFFFF_FFFC
      entry.dword13 = .max
      entry.point(to: guest.buffer, count: 4096)
      return try guest.admin(entry)
    },
    .init("a feature that is unknown", .invalidField) { guest in
      var entry = SubmissionEntry(opcode: AdminOpcode.setFeatures.rawValue)
      entry.dword10 = 0x7F
      return try guest.admin(entry)
    },
    .init("65536 queues", .invalidField) { guest in
      var entry = SubmissionEntry(opcode: AdminOpcode.setFeatures.rawValue)
      entry.dword10 = UInt32(Feature.numberOfQueues.rawValue)
      entry.dword11 = .max
      return try guest.admin(entry)
    },
    .init("a vector configuration that is not there", .invalidField) { guest in
      var entry = SubmissionEntry(opcode: AdminOpcode.setFeatures.rawValue)
      entry.dword10 = UInt32(Feature.interruptVector.rawValue)
      entry.dword11 = 0xFFFF
      return try guest.admin(entry)
    },
    .init("a host identifier in a hole", .dataTransferError) { guest in
      var entry = SubmissionEntry(opcode: AdminOpcode.setFeatures.rawValue)
      entry.dword10 = UInt32(Feature.hostIdentifier.rawValue)
      entry.dataPointer1 = HostileGuest.hole
      return try guest.admin(entry)
    },
    .init("Abort of a command that is not there", Reaction.success) { guest in
      var entry = SubmissionEntry(opcode: AdminOpcode.abort.rawValue)
      entry.dword10 = 0xFFFF_FFFF
      return try guest.admin(entry)
    },
    .init("Format to a format that is not there", .invalidFormat) { guest in
      var entry = SubmissionEntry(opcode: AdminOpcode.formatNVM.rawValue, namespaceID: 1)
      entry.dword10 = 0xF
      return try guest.admin(entry)
    },
    .init("Format of a namespace that is not there", .invalidNamespace) { guest in
      try guest.admin(SubmissionEntry(opcode: AdminOpcode.formatNVM.rawValue, namespaceID: 9))
    },
    .init("more event requests than there may be", .eventRequestLimitExceeded) { guest in
      var refused: Reaction = .nothing
      for _ in 0..<20 where refused == .nothing {
        let entry = SubmissionEntry(opcode: AdminOpcode.asynchronousEventRequest.rawValue)
        let admin = try #require(guest.controller.admin)
        _ = try admin.submit(entry)
        try admin.ring()
        _ = try admin.wait(for: .milliseconds(200)) { refused = Reaction($0.status) }
      }
      return refused
    },
  ]
}
