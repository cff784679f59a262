import NVMeDriver
import NVMeProtocol
import Testing
import VFIOUserClient
import VFIOUserProtocol

/// Resets and worse while commands are under way.
enum HostileResetCases {
  static let cases: [HostileCase] = [
    .init("CC.EN is cleared under full queues", .nothing) { guest in
      try guest.interrupted { try $0.disable() }
    },
    .init("the device is reset under full queues", .nothing) { guest in
      try guest.interrupted { try $0.resetDevice() }
    },
    .init("the subsystem is reset under full queues", .nothing) { guest in
      try guest.interrupted { try $0.resetSubsystem() }
    },
    .init("the function is reset under full queues", .nothing) { guest in
      try guest.interrupted { controller in
        // The PCI Express capability's device control, bit 15.
        let place = try #require(try capability(0x10, of: controller.client))
        let control: UInt16 = try controller.client.load(.configuration, at: place + 8)
        try controller.client.store(control | 1 << 15, .configuration, at: place + 8)
        #expect(try controller.configuration.rawValue == 0)
        #expect(try controller.status.rawValue == 0)
        #expect(try controller.client.load(.configuration, at: 4, as: UInt16.self) & 0b111 == 0)
        try guest.expectSilence()
        // The driver hears of it.
        try controller.resetDevice()
      }
    },
    .init("a shutdown under full queues", .nothing) { guest in
      try guest.interrupted { controller in
        try controller.shutDown()
        try controller.disable()
      }
    },
    .init("an abrupt shutdown, and commands after it", .nothing) { guest in
      try guest.interrupted { controller in
        try controller.shutDown(abruptly: true)
        for value in 0..<64 as Range<UInt32> { try guest.queue.writeDoorbell(.submission, value) }
        try controller.disable()
      }
    },
    .init("its queue is deleted under it", .nothing) { guest in
      try guest.interrupted { controller in
        var entry = SubmissionEntry(opcode: AdminOpcode.deleteSubmissionQueue.rawValue)
        entry.dword10 = 1
        try controller.perform(entry)
        try controller.disable()
      }
    },
    .init("all memory goes under full queues, and comes back", .nothing) { guest in
      try guest.interrupted { controller in
        let arena = controller.arena
        let client = controller.client
        try client.unmap(at: arena.address, size: arena.memory.size)
        try client.map(arena.memory, at: arena.address, size: arena.memory.size)
        try controller.disable()
      }
    },
    .init("memory goes and stays away", .nothing) { guest in
      try guest.interrupted { controller in
        let arena = controller.arena
        let client = controller.client
        try client.unmap(at: arena.address, size: arena.memory.size)
        for value in 0..<64 as Range<UInt32> { try guest.queue.writeDoorbell(.submission, value) }
        try controller.disable()
        try client.map(arena.memory, at: arena.address, size: arena.memory.size)
      }
    },
    .init("memory comes back as other memory at other places", .nothing) { guest in
      try guest.interrupted { controller in
        let arena = controller.arena
        let client = controller.client
        let half = arena.memory.size / 2
        try client.unmap(at: arena.address, size: arena.memory.size)
        try client.map(arena.memory, at: arena.address + half, size: half)
        try controller.disable()
        try client.unmap(at: arena.address + half, size: half)
        try client.map(arena.memory, at: arena.address, size: arena.memory.size)
      }
    },
    .init("bus mastering is switched off under full queues", .nothing) { guest in
      try guest.interrupted { controller in
        try controller.client.store(UInt16(0), .configuration, at: 4)
        try controller.client.store(UInt16(0b110), .configuration, at: 4)
        try controller.disable()
      }
    },
    .init("ten resets in a row under full queues", .nothing) { guest in
      for _ in 0..<10 {
        _ = try guest.interrupted { try $0.disable() }
        try guest.checkAndRecover()
      }
      return .nothing
    },
    .init("Format under full queues", Reaction.success) { guest in
      try guest.fillQueue()
      let reaction = try guest.admin(
        SubmissionEntry(opcode: AdminOpcode.formatNVM.rawValue, namespaceID: 1))
      return reaction
    },
  ]

  /// Where a capability stands in configuration space.
  private static func capability(_ id: UInt8, of client: Client) throws -> UInt64? {
    let space = try client.read(.configuration, at: 0, count: 256)
    var place = Int(space[0x34])
    for _ in 0..<48 where place >= 0x40 {
      if space[place] == id { return UInt64(place) }
      place = Int(space[place + 1])
    }
    return nil
  }
}

extension HostileGuest {
  /// 63 commands of 128 KiB, half of them writes.
  func fillQueue() throws {
    for index in 0..<63 {
      var entry: SubmissionEntry =
        index % 2 == 0
        ? .read(1, from: UInt64(index) * 256, blocks: 256)
        : .write(1, to: 16384 + UInt64(index) * 256, blocks: 256)
      entry.point(to: buffer, count: 128 << 10)
      _ = try queue.submit(entry)
    }
    try queue.ring()
  }

  /// Does something in the middle of all that; afterwards nothing is written to memory any more.
  func interrupted(_ body: (NVMeController) throws -> Void) throws -> Reaction {
    try fillQueue()
    try body(controller)
    try expectSilence()
    return .nothing
  }

  /// The controller has stopped: what it has not written by now it must never write.
  func expectSilence() throws {
    buffer.data.fill(with: 0x3C)
    _ = try controller.status
    #expect(
      Set(buffer.data.read(count: buffer.data.size)) == [0x3C], "memory was written after a reset")
  }
}
