import NVMeDriver
import NVMeProtocol
import Testing

/// Data that is where it cannot be.
enum HostilePointerCases {
  static let pages: [HostileCase] = [
    .init("PRP 1 is not aligned", .prpOffsetInvalid) { guest in
      var entry = guest.readEntry()
      entry.dataPointer1 += 2
      return try guest.io(entry)
    },
    .init("PRP 2 has an offset", .prpOffsetInvalid) { guest in
      var entry = guest.readEntry(16)
      entry.dataPointer2 += 512
      return try guest.io(entry)
    },
    .init("PRP 2 leads to a list that is not aligned", .prpOffsetInvalid) { guest in
      var entry = guest.readEntry(64)
      entry.dataPointer2 += 4
      return try guest.io(entry)
    },
    .init("an entry of the list has an offset", .prpOffsetInvalid) { guest in
      try guest.readWithList { list, entries in
        for index in entries { list.store(guest.page(index), at: 8 * index) }
        list.store(guest.page(3) + 8, at: 8 * 3)
      }
    },
    .init("an entry of the list leads to a hole", .dataTransferError) { guest in
      try guest.readWithList { list, entries in
        for index in entries { list.store(guest.page(index), at: 8 * index) }
        list.store(HostileGuest.hole, at: 8 * 5)
      }
    },
    .init("an entry of the list is zero", .dataTransferError) { guest in
      try guest.readWithList { list, entries in
        for index in entries { list.store(guest.page(index), at: 8 * index) }
        list.store(0, at: 8 * 2)
      }
    },
    .init("PRP 1 leads to a hole", .dataTransferError) { guest in
      var entry = guest.readEntry()
      entry.dataPointer1 = HostileGuest.hole
      return try guest.io(entry)
    },
    .init("PRP 1 is the last page of all", .dataTransferError) { guest in
      var entry = guest.readEntry()
      entry.dataPointer1 = UInt64.max - 0xFFF
      return try guest.io(entry)
    },
    .init("PRP 1 is near the last address", .dataTransferError) { guest in
      var entry = guest.readEntry(16)
      entry.dataPointer1 = UInt64.max - 3
      return try guest.io(entry)
    },
    .init("the list lies in a hole", .dataTransferError) { guest in
      var entry = guest.readEntry(64)
      entry.dataPointer2 = HostileGuest.hole
      return try guest.io(entry)
    },
    .init("the list lies in memory that is write-only", .dataTransferError) { guest in
      var entry = guest.readEntry(64)
      entry.dataPointer2 = HostileGuest.writeOnly
      return try guest.io(entry)
    },
    .init("the list's last place leads to a list with an offset", .prpOffsetInvalid) { guest in
      var entry = guest.readEntry(64)
      let list = try guest.controller.arena.allocate(4096)
      defer { guest.controller.arena.free(list) }
      list.store(list.address + 16, at: 4088)
      entry.dataPointer2 = list.address + 4088
      return try guest.io(entry)
    },
    .init("the list's last place leads to a hole", .dataTransferError) { guest in
      var entry = guest.readEntry(64)
      let list = try guest.controller.arena.allocate(4096)
      defer { guest.controller.arena.free(list) }
      list.store(HostileGuest.hole, at: 4088)
      entry.dataPointer2 = list.address + 4088
      return try guest.io(entry)
    },
    .init("the list leads to itself", Reaction.success) { guest in
      var entry = guest.readEntry(2048)
      let list = try guest.controller.arena.allocate(4096)
      defer { guest.controller.arena.free(list) }
      // Its pages are data pages too, and its last place is its own start: it must end all the same.
      for index in 0..<512 { list.store(guest.page(index % 200), at: 8 * index) }
      list.store(list.address, at: 4088)
      entry.dataPointer2 = list.address + 4088
      return try guest.io(entry)
    },
    .init("a read goes to memory that is read-only", .dataTransferError) { guest in
      var entry = guest.readEntry()
      entry.dataPointer1 = HostileGuest.readOnly
      return try guest.io(entry)
    },
    .init("a write comes from memory that is write-only", .dataTransferError) { guest in
      var entry = SubmissionEntry.write(1, to: 0, blocks: 8)
      entry.dataPointer1 = HostileGuest.writeOnly
      return try guest.io(entry)
    },
    .init("a read begins in a window and ends behind it", .dataTransferError) { guest in
      var entry = guest.readEntry(16)
      entry.dataPointer1 = HostileGuest.byMessage + HostileGuest.windowSize - 0x1000
      entry.dataPointer2 = HostileGuest.byMessage + HostileGuest.windowSize
      return try guest.io(entry)
    },
    .init("Identify goes to a hole", .dataTransferError) { guest in
      var entry = SubmissionEntry(opcode: AdminOpcode.identify.rawValue)
      entry.dword10 = 1
      entry.dataPointer1 = HostileGuest.hole
      return try guest.admin(entry)
    },
    .init("Identify ends in read-only memory", .dataTransferError) { guest in
      var entry = SubmissionEntry(opcode: AdminOpcode.identify.rawValue)
      entry.dword10 = 1
      entry.dataPointer1 = guest.page(0) + 2048
      entry.dataPointer2 = HostileGuest.readOnly
      return try guest.admin(entry)
    },
    .init("a log page goes to a hole", .dataTransferError) { guest in
      var entry = SubmissionEntry(
        opcode: AdminOpcode.getLogPage.rawValue, namespaceID: .max)
      entry.dword10 = UInt32(LogPage.health.rawValue) | 127 << 16
      entry.dataPointer1 = HostileGuest.hole
      return try guest.admin(entry)
    },
    .init("the ranges of Dataset Management lie in a hole", .dataTransferError) { guest in
      var entry = SubmissionEntry.datasetManagement(1, ranges: 256, .deallocate)
      entry.dataPointer1 = HostileGuest.hole
      return try guest.io(entry)
    },
  ]

  static let lists: [HostileCase] = [
    .init("an SGL descriptor has a kind that is unknown", .sglTypeInvalid) { guest in
      try guest.readWithSGL(SGLDescriptor(.init(rawValue: 9), address: guest.page(0), length: 4096))
    },
    .init("an SGL descriptor has a subtype that is unknown", .sglTypeInvalid) { guest in
      try guest.readWithSGL(
        SGLDescriptor(.dataBlock, address: guest.page(0), length: 4096, subtype: 5))
    },
    .init("an SGL descriptor has a key", .sglTypeInvalid) { guest in
      try guest.readWithSGL(SGLDescriptor(.keyedDataBlock, address: guest.page(0), length: 4096))
    },
    .init("an SGL is shorter than the data", .dataSGLLengthInvalid) { guest in
      try guest.readWithSGL(SGLDescriptor(.dataBlock, address: guest.page(0), length: 4095))
    },
    .init("an SGL is longer than the data", .dataSGLLengthInvalid) { guest in
      try guest.readWithSGL(SGLDescriptor(.dataBlock, address: guest.page(0), length: 4097))
    },
    .init("an SGL descriptor has 4 GiB", .dataSGLLengthInvalid) { guest in
      try guest.readWithSGL(SGLDescriptor(.dataBlock, address: guest.page(0), length: .max))
    },
    .init("an SGL has no length at all", .dataSGLLengthInvalid) { guest in
      try guest.readWithSGL(SGLDescriptor(.dataBlock, address: guest.page(0), length: 0))
    },
    .init("an SGL leads to a hole", .dataTransferError) { guest in
      try guest.readWithSGL(SGLDescriptor(.dataBlock, address: HostileGuest.hole, length: 4096))
    },
    .init("an SGL passes the last address", .dataTransferError) { guest in
      try guest.readWithSGL(SGLDescriptor(.dataBlock, address: .max - 100, length: 4096))
    },
    .init("a segment is not whole descriptors", .invalidSGLSegment) { guest in
      try guest.readWithSGL(SGLDescriptor(.lastSegment, address: guest.page(0), length: 20))
    },
    .init("a segment is empty", .invalidSGLSegment) { guest in
      try guest.readWithSGL(SGLDescriptor(.lastSegment, address: guest.page(0), length: 0))
    },
    .init("a segment lies in a hole", .dataTransferError) { guest in
      try guest.readWithSGL(SGLDescriptor(.lastSegment, address: HostileGuest.hole, length: 64))
    },
    .init("a segment passes the last address", .dataTransferError) { guest in
      try guest.readWithSGL(SGLDescriptor(.lastSegment, address: .max - 15, length: 64))
    },
    .init("a segment has 4 GiB", .invalidSGLCount) { guest in
      try guest.readWithSGL(
        SGLDescriptor(.lastSegment, address: guest.page(0), length: 0xFFFF_FFF0))
    },
    .init("a segment leads to itself", .invalidSGLCount) { guest in
      let own = SGLDescriptor(.segment, address: guest.page(0), length: 16)
      guest.put(own, at: 0)
      return try guest.readWithSGL(own)
    },
    .init("two segments lead to each other", .invalidSGLCount) { guest in
      guest.put(SGLDescriptor(.segment, address: guest.page(1), length: 16), at: 0)
      guest.put(SGLDescriptor(.segment, address: guest.page(0), length: 16), at: 4096)
      return try guest.readWithSGL(SGLDescriptor(.segment, address: guest.page(0), length: 16))
    },
    .init("a segment makes no progress for ever", .invalidSGLCount) { guest in
      for index in 0..<255 {
        guest.put(SGLDescriptor(.dataBlock, address: guest.page(1), length: 0), at: 16 * index)
      }
      let own = SGLDescriptor(.segment, address: guest.page(0), length: 4096)
      guest.put(own, at: 16 * 255)
      return try guest.readWithSGL(own)
    },
    .init("a segment goes on in its middle", .invalidSGLSegment) { guest in
      guest.put(SGLDescriptor(.lastSegment, address: guest.page(1), length: 16), at: 0)
      guest.put(SGLDescriptor(.dataBlock, address: guest.page(2), length: 4096), at: 16)
      return try guest.readWithSGL(SGLDescriptor(.segment, address: guest.page(0), length: 32))
    },
    .init("the last segment goes on", .invalidSGLSegment) { guest in
      guest.put(SGLDescriptor(.segment, address: guest.page(1), length: 16), at: 0)
      return try guest.readWithSGL(SGLDescriptor(.lastSegment, address: guest.page(0), length: 16))
    },
    .init("a segment does not go on", .invalidSGLSegment) { guest in
      guest.put(SGLDescriptor(.dataBlock, address: guest.page(2), length: 4096), at: 0)
      return try guest.readWithSGL(SGLDescriptor(.segment, address: guest.page(0), length: 16))
    },
    .init("PSDT is reserved", .invalidField) { guest in
      var entry = guest.readEntry()
      entry.flags = CommandFlags(rawValue: 3 << 6)
      return try guest.io(entry)
    },
    .init("an admin command has an SGL", .invalidField) { guest in
      var entry = SubmissionEntry(opcode: AdminOpcode.identify.rawValue)
      entry.dword10 = 1
      entry.flags = .sgl
      entry.sglDescriptor = SGLDescriptor(.dataBlock, address: guest.page(0), length: 4096)
      return try guest.admin(entry)
    },
  ]
}

extension HostileGuest {
  /// Where the device sees a page of the buffer.
  func page(_ index: Int) -> UInt64 { buffer.data.address + UInt64(index) * 4096 }

  /// Reads 64 blocks with a list of pages that `fill` writes.
  func readWithList(_ fill: (DMABuffer, Range<Int>) -> Void) throws -> Reaction {
    let list = try controller.arena.allocate(4096)
    defer { controller.arena.free(list) }
    fill(list, 0..<7)
    var entry = readEntry(64)
    entry.dataPointer2 = list.address
    return try io(entry)
  }

  /// Writes a descriptor into the buffer.
  func put(_ descriptor: SGLDescriptor, at place: Int) {
    buffer.data.store(descriptor.address, at: place)
    buffer.data.store(descriptor.second, at: place + 8)
  }

  /// Reads 4096 bytes by an SGL.
  func readWithSGL(_ descriptor: SGLDescriptor) throws -> Reaction {
    var entry = readEntry()
    entry.flags = .sgl
    entry.sglDescriptor = descriptor
    return try io(entry)
  }
}
