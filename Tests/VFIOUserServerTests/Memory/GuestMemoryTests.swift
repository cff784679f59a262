import Glibc
import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserServer

/// Adds a window; with a file, mapped from `offset` of it.
func addWindow(
  _ memory: GuestMemory, _ address: UInt64, _ size: UInt64,
  _ flags: DMAMapFlags = [.readable, .writable], file: TruncatableMemory? = nil,
  offset: UInt64 = 0, limit: Int = 65535
) throws {
  let request = DMAMap(flags: flags, offset: offset, address: address, size: size)
  try memory.add(request, try file?.lent(), limit: limit)
}

extension GuestMemory {
  func removeSoon(_ address: UInt64, _ size: UInt64) throws {
    try remove(address: address, size: size, before: .after(.seconds(5)))
  }
}

@Suite struct `DMA windows of guest memory` {
  let memory = GuestMemory(guarded: true)

  @Test(
    arguments: [(0, 0), (.max, 0), (.max, 2), (.max - 4095, 4097), (2, .max)]
      as [(
        UInt64, UInt64
      )])
  func `DMA windows that are empty or wrap are refused`(address: UInt64, size: UInt64) {
    #expect(throws: Errno.invalidArgument) { try addWindow(memory, address, size) }
  }

  @Test(
    arguments: [(0, .max), (.max, 1), (.max - 4095, 4096), (1, .max - 1)] as [(UInt64, UInt64)])
  func `DMA windows may reach to the last byte of the address space`(address: UInt64, size: UInt64)
    throws
  {
    try addWindow(memory, address, size)
    try memory.removeSoon(address, size)
    #expect(memory.windowCount == 0)
  }

  @Test(
    arguments: [
      (0x4000, 0x1000), (0x3FFF, 2), (0x4FFF, 1), (0x4FFF, 0x1001), (0, 0x10000), (0x5FFF, 2),
      (0x5FFF, 0x3000), (0x8000, 1),
    ] as [(UInt64, UInt64)])
  func `DMA windows that overlap are refused with EEXIST`(address: UInt64, size: UInt64) throws {
    try addWindow(memory, 0x4000, 0x1000)
    try addWindow(memory, 0x6000, 0x1000)
    try addWindow(memory, 0x8000, 0x1000)
    #expect(throws: Errno.fileExists) { try addWindow(memory, address, size) }
    #expect(memory.windowCount == 3)
  }

  @Test(
    arguments: [(0, 0x4000), (0x5000, 0x1000), (0x7000, 0x1000), (0x9000, 1)]
      as [(
        UInt64, UInt64
      )])
  func `DMA windows may be adjacent`(address: UInt64, size: UInt64) throws {
    for start: UInt64 in [0x4000, 0x6000, 0x8000] { try addWindow(memory, start, 0x1000) }
    try addWindow(memory, address, size)
  }

  @Test(
    arguments: [(0x4000, 0xFFF), (0x4001, 0x1000), (0x4000, 0x1001), (0x5000, 0x1000), (0, 0)]
      as [(UInt64, UInt64)])
  func `DMA windows can only be removed with their exact address and size`(
    address: UInt64, size: UInt64
  ) throws {
    try addWindow(memory, 0x4000, 0x1000)
    #expect(throws: Errno.noSuchFileOrDirectory) { try memory.removeSoon(address, size) }
  }

  @Test(
    arguments: [(1, 0x1000, 0), (0x1000, 0x1001, 0), (0x1000, 0x800, 0), (0x1000, 0x1000, 0x800)]
      as [(UInt64, UInt64, UInt64)])
  func `DMA windows with a file must be page-aligned in address, size and file offset`(
    address: UInt64, size: UInt64, offset: UInt64
  ) throws {
    let file = try TruncatableMemory(size: 0x10000)
    #expect(throws: Errno.invalidArgument) {
      try addWindow(memory, address, size, file: file, offset: offset)
    }
  }

  @Test(arguments: [(0, 0x11000), (0x10000, 0x1000), (.max - 4095, 0x1000)] as [(UInt64, UInt64)])
  func `DMA windows that exceed their file are refused`(offset: UInt64, size: UInt64) throws {
    let file = try TruncatableMemory(size: 0x10000)
    #expect(throws: Errno.invalidArgument) {
      try addWindow(memory, 0, size, file: file, offset: offset)
    }
    #expect(memory.windowCount == 0)
  }

  @Test func `DMA windows beyond the maximum number are refused with ENOSPC`() throws {
    for page: UInt64 in 0..<4 { try addWindow(memory, page << 12, 4096, limit: 4) }
    #expect(throws: Errno.noSpace) { try addWindow(memory, 1 << 20, 4096, limit: 4) }
    #expect(throws: Errno.fileExists) { try addWindow(memory, 0, 4096, limit: 4) }
  }

  @Test func `65,535 DMA windows can be added and removed in random order`() throws {
    var random = SplitMix64(seed: 7)
    let pages = (0..<65535 as Range<UInt64>).shuffled(using: &random)
    for page in pages { try addWindow(memory, page << 13, 4096) }
    #expect(memory.windowCount == 65535)
    #expect(throws: Errno.noSpace) { try addWindow(memory, 1 << 50, 4096) }
    for page in pages.shuffled(using: &random) {
      #expect(throws: Errno.fileExists) { try addWindow(memory, page << 13 | 4095, 1, limit: .max) }
      try memory.removeSoon(page << 13, 4096)
    }
    #expect(memory.windowCount == 0)
  }
}

@Suite struct `A DMA transfer` {
  let memory = GuestMemory(guarded: true)
  let file: TruncatableMemory

  init() throws { file = try TruncatableMemory(size: 1 << 20) }

  @Test func `A DMA transfer crosses adjacent windows with different file offsets`() throws {
    try addWindow(memory, 0x1000, 0x1000, file: file, offset: 0x3000)
    try addWindow(memory, 0x2000, 0x2000, file: file, offset: 0)
    let transfer = memory.access()
    let bytes = (0..<0x2800).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    try transfer.write(at: 0x1400, from: bytes)
    #expect(try transfer.read(at: 0x1400, count: bytes.count) == bytes)
    try memory.removeSoon(0x1000, 0x1000)
    try memory.removeSoon(0x2000, 0x2000)
    try addWindow(memory, 0, 0x4000, file: file)
    #expect(try memory.access().read(at: 0x3400, count: 0xC00) == Array(bytes[..<0xC00]))
    #expect(try memory.access().read(at: 0, count: 0x1C00) == Array(bytes[0xC00...]))
  }

  @Test func `A DMA transfer respects the permissions of each window`() throws {
    try addWindow(memory, 0x1000, 0x1000, file: file)
    try addWindow(memory, 0x2000, 0x1000, .readable, file: file, offset: 0x1000)
    try addWindow(memory, 0x3000, 0x1000, .writable, file: file, offset: 0x2000)
    let transfer = memory.access()
    #expect(throws: MemoryError.notPermitted(at: 0x2000)) {
      try transfer.write(at: 0x1FFF, from: [1, 2])
    }
    #expect(throws: MemoryError.notPermitted(at: 0x3000)) {
      try transfer.read(at: 0x2FFF, count: 2)
    }
    #expect(throws: MemoryError.notPermitted(at: 0x2000)) {
      try transfer.fetchOr(1 as UInt32, at: 0x2000)
    }
    #expect(throws: MemoryError.notPermitted(at: 0x3000)) {
      try transfer.exchange(1 as UInt32, at: 0x3000)
    }
    #expect(throws: MemoryError.notPermitted(at: 0x3000)) { try transfer.load(at: 0x3000) as UInt8 }
    try transfer.store(1 as UInt8, at: 0x3000)
  }

  @Test func `A DMA transfer reports the first unmapped address`() throws {
    try addWindow(memory, 0x1000, 0x1000, file: file)
    #expect(throws: MemoryError.unmapped(at: 0x2000)) {
      try memory.access().read(at: 0x1FF0, count: 0x20)
    }
    #expect(throws: MemoryError.wraps(at: .max, count: 2)) {
      try memory.access().read(at: .max, count: 2)
    }
    #expect(try memory.access().read(at: 0, count: 0) == [])
  }

  @Test func `A DMA transfer loads and stores integers, also misaligned and across windows`() throws
  {
    try addWindow(memory, 0x1000, 0x1000, file: file)
    try addWindow(memory, 0x2000, 0x1000, file: file, offset: 0x5000)
    let transfer = memory.access()
    for address: UInt64 in [0x1000, 0x1003, 0x1FF8, 0x1FFC, 0x1FFF] {
      try transfer.store(0x1122_3344_5566_7788 as UInt64, at: address)
      #expect(try transfer.load(at: address) == 0x1122_3344_5566_7788 as UInt64)
      #expect(try transfer.load(at: address) == 0x5566_7788 as UInt32)
      #expect(try transfer.load(at: address) == 0x7788 as UInt16)
      #expect(try transfer.load(at: address + 7) == 0x11 as UInt8)
      try transfer.store(0xAABB as UInt16, at: address)
      #expect(try transfer.read(at: address, count: 3) == [0xBB, 0xAA, 0x66])
    }
  }

  @Test func `A DMA transfer modifies aligned integers atomically`() throws {
    try addWindow(memory, 0x1000, 0x1000, file: file)
    let transfer = memory.access()
    #expect(try transfer.exchange(5 as UInt64, at: 0x1008) == 0)
    #expect(try transfer.compareExchange(expected: 4 as UInt64, desired: 9, at: 0x1008) == 5)
    #expect(try transfer.compareExchange(expected: 5 as UInt64, desired: 9, at: 0x1008) == 5)
    #expect(try transfer.fetchOr(0xF0 as UInt64, at: 0x1008) == 9)
    #expect(try transfer.exchange(7 as UInt32, at: 0x1008) == 0xF9)
    #expect(try transfer.compareExchange(expected: 7 as UInt32, desired: 8, at: 0x1008) == 7)
    #expect(try transfer.fetchOr(1 as UInt32, at: 0x100C) == 0)
    #expect(try transfer.load(at: 0x1008) == 0x1_0000_0008 as UInt64)
    #expect(throws: MemoryError.misaligned(at: 0x1004)) {
      try transfer.fetchOr(1 as UInt64, at: 0x1004)
    }
  }

  @Test func `A DMA transfer lends guest memory to system calls as iovec slices`() throws {
    try addWindow(memory, 0x1000, 0x1000, file: file)
    try addWindow(memory, 0x2000, 0x1000, file: file, offset: 0x5000)
    let transfer = memory.access()
    var ends: [Int32] = [-1, -1]
    let opened = unsafe pipe(&ends)
    #expect(opened == 0)
    defer { for end in ends { close(end) } }
    try transfer.write(at: 0x1FF0, from: Array(0..<32))
    let list = [GuestRange(address: 0x1FF0, count: 32), GuestRange(address: 0x1000, count: 0)]
    let sent = try unsafe transfer.withSystemCallSlices(of: list, for: .reading) { slices in
      let count = slices.count
      #expect(count == 2)
      return unsafe writev(ends[1], slices.baseAddress, Int32(slices.count))
    }
    #expect(sent == 32)
    let scattered = (0..<16).map { GuestRange(address: 0x1100 + $0 * 16, count: 2) }
    let got = try unsafe transfer.withSystemCallSlices(of: scattered, for: .writing) { slices in
      unsafe readv(ends[0], slices.baseAddress, Int32(slices.count))
    }
    #expect(got == 32)
    #expect(try transfer.read(at: 0x11F0, count: 3) == [30, 31, 0])
  }

  @Test func `A DMA transfer refuses a scatter-gather list that it cannot lend to a system call`()
    throws
  {
    try addWindow(memory, 0x1000, 0x1000, .readable, file: file)
    try addWindow(memory, 0x2000, 0x1000)
    func lend(_ ranges: [GuestRange], _ direction: GuestMemoryAccess.Direction) throws(MemoryError)
    {
      try unsafe memory.access().withSystemCallSlices(of: ranges, for: direction) { _ in }
    }
    let one = GuestRange(address: 0x1000, count: 4)
    #expect(throws: MemoryError.notPermitted(at: 0x1000)) { try lend([one], .writing) }
    #expect(throws: MemoryError.needsMapping(at: 0x2000)) {
      try lend([one, GuestRange(address: 0x1FFF, count: 2)], .reading)
    }
    #expect(throws: MemoryError.unmapped(at: 0x3000)) {
      try lend([one, GuestRange(address: 0x3000, count: 2)], .reading)
    }
    #expect(throws: MemoryError.wraps(at: .max, count: .max)) {
      try lend([GuestRange(address: .max, count: .max)], .reading)
    }
    try lend(Array(repeating: one, count: 1024), .reading)
    #expect(throws: MemoryError.tooManyPieces(limit: 1024)) {
      try lend(Array(repeating: one, count: 1025), .reading)
    }
    // Nothing stays pinned.
    try memory.remove(address: 0x1000, size: 0x1000, before: .after(.zero))
  }

  @Test func `A DMA transfer becomes stale when its client disconnects`() throws {
    try addWindow(memory, 0x1000, 0x1000, file: file)
    let transfer = memory.access()
    memory.disconnect()
    try addWindow(memory, 0x1000, 0x1000, file: file)
    memory.allowDMA()
    #expect(throws: MemoryError.stale) { try transfer.write(at: 0x1000, from: [1]) }
    #expect(throws: MemoryError.stale) { try transfer.load(at: 0x1000) as UInt32 }
    #expect(!transfer.isAlive)
    #expect(try memory.access().load(at: 0x1000) == 0 as UInt32)
  }

  @Test func `A DMA transfer reports whether a removed window may soon be mapped again`() throws {
    try addWindow(memory, 0x1000, 0x1000, file: file)
    try addWindow(memory, 0x2000, 0x1000, file: file)
    let transfer = memory.access()
    #expect(transfer.isSettled)
    try memory.remove(address: 0x1000, size: 0x1000, before: .after(.zero))
    let since = Deadline.now
    let isSettled = transfer.isSettled
    #expect(!isSettled || Deadline.now - since > Deadline.nanoseconds(GuestMemory.holePatience))
    #expect(eventually { transfer.isSettled })
    #expect(Deadline.now - since > Deadline.nanoseconds(GuestMemory.holePatience) / 2)
    // One that waits for an access is none that is over after a while.
    let counter = try EventFD()
    try unsafe transfer.withSystemCallSlices(
      of: [GuestRange(address: 0x2000, count: 4)], for: .reading
    ) { _ in
      let removal = try? memory.startRemoving(address: 0x2000, size: 0x1000, telling: counter)
      #expect(removal != nil)
      memory.state.withLock { $0.holesMayCloseUntil = 0 }
      #expect(!transfer.isSettled)
      if let removal { memory.cancel(removal) }
    }
    #expect(transfer.isSettled)
    memory.disconnect()
    #expect(!transfer.isSettled)
  }

  @Test func `A DMA transfer is refused until the new client has armed the device`() throws {
    memory.disconnect()
    try addWindow(memory, 0x1000, 0x1000, file: file)
    let transfer = memory.access()
    #expect(throws: MemoryError.dmaNotAllowed) { try transfer.store(1 as UInt8, at: 0x1000) }
    memory.allowDMA()
    try transfer.store(1 as UInt8, at: 0x1000)
  }

  @Test func `A DMA transfer reports its writes to the dirty page tracker`() throws {
    try addWindow(memory, 0x1000, 0x1000, file: file)
    try addWindow(memory, 0x2000, 0x1000, file: file)
    let seen = Monitor<[UInt64: UInt64]>([:])
    memory.observeWrites { address, count in seen.withLock { $0[address] = count } }
    let transfer = memory.access()
    try transfer.write(at: 0x1FFE, from: [1, 2, 3])
    try transfer.store(1 as UInt32, at: 0x1100)
    _ = try transfer.fetchOr(1 as UInt64, at: 0x1200)
    _ = try transfer.read(at: 0x1300, count: 4)
    try unsafe transfer.withSystemCallSlices(
      of: [GuestRange(address: 0x1400, count: 9)], for: .writing
    ) { _ in }
    #expect(
      seen.withLock { $0 } == [0x1FFE: 2, 0x2000: 1, 0x1100: 4, 0x1200: 8, 0x1400: 9])
    memory.observeWrites(nil)
    try transfer.store(1 as UInt32, at: 0x1000)
    #expect(seen.withLock { $0.count } == 5)
  }
}
