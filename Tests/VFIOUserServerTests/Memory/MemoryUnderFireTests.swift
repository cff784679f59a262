import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

@Suite struct `Removal of a DMA window` {
  let memory = GuestMemory(guarded: true)

  /// A thread that holds the window at 0x1000 until it is let go.
  private func hold(_ gate: Monitor<Bool>, _ isHeld: Monitor<Bool>) throws -> Outcome<Void> {
    let transfer = memory.access()
    return try Outcome { () throws(MemoryError) in
      try unsafe transfer.withSystemCallSlices(
        of: [GuestRange(address: 0x1000, count: 16)], for: .reading
      ) { _ in
        isHeld.update { $0 = true }
        _ = gate.withLock(when: { $0 }, before: .after(.seconds(10))) { _ in }
      }
    }
  }

  @Test func `Removal of a DMA window waits until a transfer in flight has ended`() throws {
    let file = try TruncatableMemory(size: 0x1000)
    try addWindow(memory, 0x1000, 0x1000, file: file)
    let (gate, isHeld) = (Monitor(false), Monitor(false))
    let holder = try hold(gate, isHeld)
    _ = isHeld.withLock(when: { $0 }) { _ in }
    let (memory, mappings) = (memory, Monitor(false))
    let removal = try Outcome { () throws(MemoryError) in
      try? memory.remove(address: 0x1000, size: 0x1000, before: .after(.seconds(10)))
      mappings.update { $0 = true }
    }
    // Nothing new begins meanwhile.
    #expect(eventually { (try? memory.access().load(at: 0x1000) as UInt8) == nil })
    #expect(!removal.isThere)
    #expect(memory.windowCount == 1)
    gate.update { $0 = true }
    try removal.get()
    try holder.get()
    #expect(memory.windowCount == 0)
  }

  @Test
  func `Removal of a DMA window in use fails with EBUSY at the deadline and the window stays`()
    throws
  {
    let file = try TruncatableMemory(size: 0x1000)
    try addWindow(memory, 0x1000, 0x1000, file: file)
    try addWindow(memory, 0x8000, 0x1000)
    let (gate, isHeld) = (Monitor(false), Monitor(false))
    let holder = try hold(gate, isHeld)
    _ = isHeld.withLock(when: { $0 }) { _ in }
    #expect(throws: Errno.resourceBusy) {
      try memory.remove(address: 0x1000, size: 0x1000, before: .after(.milliseconds(10)))
    }
    #expect(throws: Errno.resourceBusy) { try memory.removeAll(before: .after(.milliseconds(10))) }
    #expect(memory.windowCount == 2)
    #expect(try memory.access().load(at: 0x1000) == 0 as UInt8)
    gate.update { $0 = true }
    try holder.get()
    try memory.removeAll(before: .after(.seconds(5)))
    #expect(memory.windowCount == 0)
  }

  @Test func `DMA_UNMAP returns EBUSY if the device does not release the memory in time`() throws {
    let device = CallbackDevice()
    var options = ServerOptions()
    options.quiesceTimeout = .milliseconds(20)
    let peer = try connect(to: device, options: options)
    let file = try TruncatableMemory(size: 0x1000)
    var descriptors = DescriptorList()
    descriptors.append(try file.lent())
    let map = DMAMap(flags: .readable, address: 0x1000, size: 0x1000)
    #expect(try peer.ask(message(.dmaMap, bytes(of: map)), descriptors: descriptors).errno == nil)
    let (gate, isHeld) = (Monitor(false), Monitor(false))
    let transfer = try device.bus.memory.access()
    let holder = try Outcome { () throws(MemoryError) in
      try unsafe transfer.withSystemCallSlices(
        of: [GuestRange(address: 0x1000, count: 16)], for: .reading
      ) { _ in
        isHeld.update { $0 = true }
        _ = gate.withLock(when: { $0 }, before: .after(.seconds(10))) { _ in }
      }
    }
    _ = isHeld.withLock(when: { $0 }) { _ in }
    let unmap = message(.dmaUnmap, bytes(of: DMAUnmap(address: 0x1000, size: 0x1000)))
    #expect(try peer.ask(unmap).errno == UInt32(Errno.resourceBusy.rawValue))
    gate.update { $0 = true }
    try holder.get()
    #expect(try peer.ask(unmap).errno == nil)
  }

  @Test func `A running device does not notice that its memory is remapped in other pieces`() throws
  {
    let size: UInt64 = 0x10000
    let file = try TruncatableMemory(size: size)
    try addWindow(memory, 0, size, file: file)
    try memory.access().write(
      at: 0, from: (0..<Int(size)).map { UInt8(truncatingIfNeeded: $0 >> 8) })
    let isOver = Monitor(false)
    let workers = try (0..<4).map { number in
      let transfer = memory.access()
      return try Outcome { () throws(MemoryError) -> Int in
        var random = SplitMix64(seed: UInt64(number))
        var turns = 0
        while !isOver.withLock({ $0 }) {
          let address = random.next() % (size - 512)
          let bytes = try transfer.read(at: address, count: 512)
          guard bytes.first == UInt8(truncatingIfNeeded: address >> 8) else { return -1 }
          try transfer.write(at: address, from: bytes)
          guard try transfer.load(at: address) == bytes[0] else { return -2 }
          turns += 1
        }
        return turns
      }
    }
    for turn in 0..<200 as Range<UInt64> {
      // What firmware does to shadow memory: one window becomes three, and one again.
      let cut = (turn % 14 + 1) << 12
      try memory.removeSoon(0, size)
      try addWindow(memory, 0, cut, file: file)
      try addWindow(memory, cut, 0x1000, file: file, offset: cut)
      try addWindow(memory, cut + 0x1000, size - cut - 0x1000, file: file, offset: cut + 0x1000)
      try memory.removeAll(before: .after(.seconds(5)))
      try addWindow(memory, 0, size, file: file)
    }
    isOver.update { $0 = true }
    for worker in workers { #expect(try worker.get() > 0) }
  }
}

@Suite struct `A client that truncates its memory` {
  @Test func `Truncated client memory is an error for its device and for no other device`() throws {
    let memory = GuestMemory(guarded: true)
    let neighbour = GuestMemory(guarded: true)
    let (file, other) = (try TruncatableMemory(size: 0x10000), try TruncatableMemory(size: 0x10000))
    try addWindow(memory, 0, 0x10000, file: file)
    try addWindow(neighbour, 0, 0x10000, file: other)
    let transfer = memory.access()
    try transfer.store(7 as UInt64, at: 0x8000)
    file.resize(to: 0x1000)
    #expect(throws: MemoryError.truncated(at: 0x8000)) { try transfer.load(at: 0x8000) as UInt8 }
    #expect(throws: MemoryError.truncated(at: 0x8000)) { try transfer.load(at: 0x8000) as UInt64 }
    #expect(throws: MemoryError.truncated(at: 0x8000)) {
      try transfer.store(1 as UInt16, at: 0x8000)
    }
    #expect(throws: MemoryError.truncated(at: 0x8000)) {
      try transfer.store(1 as UInt32, at: 0x8000)
    }
    #expect(throws: MemoryError.truncated(at: 0xFF0)) { try transfer.read(at: 0xFF0, count: 64) }
    #expect(throws: MemoryError.truncated(at: 0xFF0)) {
      try transfer.write(at: 0xFF0, from: Array(repeating: 1, count: 64))
    }
    #expect(throws: MemoryError.truncated(at: 0x8000)) {
      try transfer.exchange(1 as UInt32, at: 0x8000)
    }
    #expect(throws: MemoryError.truncated(at: 0x8000)) {
      try transfer.compareExchange(expected: 0, desired: 1 as UInt64, at: 0x8000)
    }
    #expect(throws: MemoryError.truncated(at: 0x8000)) {
      try transfer.fetchOr(1 as UInt64, at: 0x8000)
    }
    try neighbour.access().store(9 as UInt64, at: 0x8000)
    #expect(try neighbour.access().load(at: 0x8000) == 9 as UInt64)
    file.resize(to: 0x10000)
    #expect(try transfer.load(at: 0x8000) == 0 as UInt64)
  }

  @Test func `A client may truncate its memory repeatedly while four threads access it`() throws {
    let memory = GuestMemory(guarded: true)
    let file = try TruncatableMemory(size: 0x10000)
    try addWindow(memory, 0, 0x10000, file: file)
    let isOver = Monitor(false)
    let transfer = memory.access()
    let workers = try (0..<4).map { number in
      try Outcome { () throws(MemoryError) -> Int in
        var faults = 0
        while !isOver.withLock({ $0 }) {
          do throws(MemoryError) {
            switch number {
            case 0: _ = try transfer.read(at: 0, count: 0x10000)
            case 1: try transfer.write(at: 0x100, from: Array(repeating: 1, count: 0x8000))
            case 2: _ = try transfer.load(at: 0xFFF8) as UInt64
            default: _ = try transfer.fetchOr(1 as UInt32, at: 0xFFF0)
            }
          } catch .truncated {
            faults += 1
          }
        }
        return faults
      }
    }
    for _ in 0..<300 {
      file.resize(to: 0)
      file.resize(to: 0x10000)
    }
    file.resize(to: 0)
    #expect(throws: MemoryError.truncated(at: 0)) { try transfer.load(at: 0) as UInt32 }
    isOver.update { $0 = true }
    for worker in workers { _ = try worker.get() }
  }
}

@Suite struct `DMA windows of one file` {
  @Test func `DMA windows of one file keep one descriptor open`() async {
    await #expect(processExitsWith: .success) {
      let memory = GuestMemory(guarded: true)
      let file = try TruncatableMemory(size: 0x10000)
      let descriptors = settledDescriptors()
      let mappings = mappingsOfClients()
      for page in 0..<8 as Range<UInt64> {
        try addWindow(memory, page << 16, 0x2000, file: file, offset: page << 13)
      }
      #expect(memory.windowCount == 8)
      #expect(openDescriptors() == descriptors + 1)
      // They follow each other in the file, and the kernel may make one mapping of them.
      #expect(mappingsOfClients() > mappings)
      // They are the file that they were: what is written to one is in it.
      for page in 0..<8 as Range<UInt64> {
        try memory.access().store(UInt32(page + 1), at: page << 16)
      }
      let whole = try #require(MappedFile(try file.lent()))
      #expect((0..<8).map { whole[$0 << 13] } == [1, 2, 3, 4, 5, 6, 7, 8])
      try memory.removeAll(before: .after(.zero))
      #expect(mappingsOfClients() == mappings + 1)
    }
  }
}

@Suite struct `Resources of a disconnected client` {
  @Test
  func `A client that disconnects with transfers in flight leaves no mapping and no descriptor`()
    async
  {
    await #expect(processExitsWith: .success) { try checkThatNoMemoryStays() }
  }
}

private func checkThatNoMemoryStays() throws {
  // The first client starts threads and installs handlers; those may keep what they need.
  try leaveInTheMiddle()
  let descriptors = settledDescriptors()
  let mappings = mappingsOfClients()
  for _ in 0..<16 { try leaveInTheMiddle() }
  _ = eventually { openDescriptors() <= descriptors + 2 && mappingsOfClients() == mappings }
  #expect(openDescriptors() <= descriptors + 2)
  #expect(mappingsOfClients() == mappings)
}

/// Windows of both kinds, transfers of both kinds under way, and the client is gone.
private func leaveInTheMiddle() throws {
  let client = try MessageClient { $0.dmaTimeout = .seconds(1) }
  let file = try TruncatableMemory(size: 0x10000)
  for page in 0..<8 as Range<UInt64> {
    var descriptors = DescriptorList()
    descriptors.append(try file.lent())
    let map = DMAMap(
      flags: [.readable, .writable], offset: page << 13, address: 1 << 32 | page << 14, size: 0x2000
    )
    #expect(
      try client.peer.ask(message(.dmaMap, bytes(of: map)), descriptors: descriptors).errno == nil)
  }
  let transfer = try client.device.bus.memory.access()
  let copying = try Outcome { () throws(MemoryError) in
    while true { _ = try transfer.read(at: 1 << 32, count: 4096) }
  }
  let asking = try client.startRead(4096)
  _ = try client.expect(.dmaRead)
  client.peer.socket.shutdown()
  #expect(copying.error == .stale)
  #expect(asking.error == .stale)
  #expect(eventually { client.device.state.withLock { $0.departures } == 1 })
}
