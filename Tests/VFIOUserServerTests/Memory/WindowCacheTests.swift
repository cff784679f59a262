import Glibc
import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol

@testable import VFIOUserServer

@Suite struct `A window cache` {
  let memory = GuestMemory(guarded: true)
  let file: TruncatableMemory

  init() throws {
    file = try TruncatableMemory(size: 0x10000)
    try addWindow(memory, 0x1000, 0x4000, file: file)
    try addWindow(memory, 0x5000, 0x1000, file: file, offset: 0x8000)
    try addWindow(memory, 0x8000, 0x1000, [.readable], file: file, offset: 0x9000)
  }

  /// Whether a range can be reached at once.
  private func reaches(
    _ windows: inout WindowCache, _ address: UInt64, _ size: UInt64,
    _ direction: GuestMemoryAccess.Direction = .reading
  ) -> Bool {
    let place = unsafe windows.place(address, size, direction)
    return unsafe place != nil
  }

  @Test func `A window cache finds ranges that lie in one window and permit the access`() {
    var windows = WindowCache(memory.access())
    for _ in 0..<2 {
      #expect(reaches(&windows, 0x1000, 1) && reaches(&windows, 0x1000, 0x4000, .writing))
      #expect(reaches(&windows, 0x4FFF, 1) && reaches(&windows, 0x5000, 0x1000))
      #expect(!reaches(&windows, 0x1000, 0x4001) && !reaches(&windows, 0x4FFF, 2))
      #expect(!reaches(&windows, 0xFFF, 1) && !reaches(&windows, 0x6000, 1))
      #expect(!reaches(&windows, 0x1000, .max) && !reaches(&windows, .max, 1))
      #expect(reaches(&windows, 0x8000, 8) && !reaches(&windows, 0x8000, 8, .writing))
    }
  }

  @Test func `A window cache leads to the bytes of the window`() throws {
    var windows = WindowCache(memory.access())
    try memory.access().write(at: 0x5010, from: [7, 8])
    let found = unsafe windows.place(0x5010, 2, .reading)
    guard let place = unsafe found else {
      Issue.record("nothing found")
      return
    }
    #expect(unsafe place.load(as: UInt8.self) == 7)
    #expect(unsafe place.load(fromByteOffset: 1, as: UInt8.self) == 8)
  }

  @Test func `An unmap waits until the window cache lets go`() throws {
    var windows = WindowCache(memory.access())
    #expect(reaches(&windows, 0x1000, 8))
    let removal = try #require(try memory.startRemoving(address: 0x1000, size: 0x4000))
    #expect(!memory.finish(removal))
    // Other windows are found, but not this one, which the search has let go.
    #expect(!reaches(&windows, 0x1000, 8))
    #expect(memory.finish(removal))
    #expect(reaches(&windows, 0x5000, 8))
  }

  @Test func `A window cache lets go when anything has changed, and when it ends`() throws {
    var windows = WindowCache(memory.access())
    #expect(reaches(&windows, 0x1000, 8))
    windows.refresh(memory.access())
    let removal = try #require(try memory.startRemoving(address: 0x1000, size: 0x4000))
    #expect(!memory.finish(removal))
    windows.refresh(memory.access())
    #expect(memory.finish(removal))
    #expect(reaches(&windows, 0x5000, 8))
    windows.release()
    #expect(try memory.startRemoving(address: 0x5000, size: 0x1000) == nil)
    do {
      var other = WindowCache(memory.access())
      #expect(reaches(&other, 0x8000, 8))
    }
    #expect(try memory.startRemoving(address: 0x8000, size: 0x1000) == nil)
  }

  @Test func `A window cache finds nothing after its generation, and again with the next access`() {
    var windows = WindowCache(memory.access())
    #expect(reaches(&windows, 0x1000, 8))
    _ = memory.endGeneration()
    memory.beginGeneration()
    #expect(!reaches(&windows, 0x1000, 8))
    windows.refresh(memory.access())
    #expect(reaches(&windows, 0x1000, 8))
  }

  @Test func `A window cache finds nothing while DMA is not allowed or bus master is clear`() throws
  {
    let memory = GuestMemory(guarded: true, requiresBusMaster: true)
    try addWindow(memory, 0x1000, 0x4000, file: file)
    memory.setBusMaster(true)
    var windows = WindowCache(memory.access())
    #expect(reaches(&windows, 0x1000, 8))
    memory.setBusMaster(false)
    #expect(!reaches(&windows, 0x1000, 8))
    memory.setBusMaster(true)
    #expect(reaches(&windows, 0x1000, 8))
    memory.setDMAAllowed(false)
    #expect(!reaches(&windows, 0x1000, 8))
    memory.setDMAAllowed(true)
    #expect(reaches(&windows, 0x1000, 8))
    memory.disconnect()
    #expect(!reaches(&windows, 0x1000, 8))
  }

  @Test func `A window cache keeps more windows than it has room for apart`() throws {
    let memory = GuestMemory(guarded: true)
    for index: UInt64 in 0..<20 {
      try addWindow(
        memory, 0x10000 + index * 0x2000, 0x1000, file: file, offset: index % 16 * 0x1000)
    }
    for index: UInt64 in 0..<16 {
      try memory.access().write(at: 0x10000 + index * 0x2000, from: [UInt8(index)])
    }
    var windows = WindowCache(memory.access())
    for round: UInt64 in 0..<60 {
      let index = round * 7 % 20
      let found = unsafe windows.place(0x10000 + index * 0x2000, 8, .reading)
      let byte = unsafe found.map { unsafe $0.load(as: UInt8.self) }
      #expect(byte == UInt8(index % 16))
    }
  }

  @Test func `Addresses that are held stay good whatever else is looked for`() throws {
    let memory = GuestMemory(guarded: true)
    for index: UInt64 in 0..<9 {
      try addWindow(memory, 0x10000 + index * 0x2000, 0x1000, file: file)
    }
    var windows = WindowCache(memory.access())
    windows.hold()
    for index: UInt64 in 0..<8 { #expect(reaches(&windows, 0x10000 + index * 0x2000, 8)) }
    #expect(!reaches(&windows, 0x10000 + 8 * 0x2000, 8))
    let removal = try #require(try memory.startRemoving(address: 0x10000, size: 0x1000))
    #expect(!reaches(&windows, 0x10000 + 8 * 0x2000, 8) && !reaches(&windows, 0x12000, 8))
    #expect(!memory.finish(removal))
    windows.endHold()
    #expect(reaches(&windows, 0x10000 + 8 * 0x2000, 8))
    #expect(memory.finish(removal))
  }

  @Test func `A window that is held is not let go for one that is found after a change`() throws {
    var windows = WindowCache(memory.access())
    windows.hold()
    #expect(reaches(&windows, 0x1000, 8))
    let removal = try #require(try memory.startRemoving(address: 0x1000, size: 0x4000))
    #expect(!reaches(&windows, 0x5000, 8))
    #expect(!memory.finish(removal))
    windows.endHold()
    #expect(reaches(&windows, 0x5000, 8))
    #expect(memory.finish(removal))
  }

  @Test func `A window without a descriptor is not in a window cache`() throws {
    let memory = GuestMemory(guarded: true)
    try memory.add(
      DMAMap(flags: [.readable, .writable], address: 0x1000, size: 0x1000), nil, limit: 8)
    var windows = WindowCache(memory.access())
    #expect(!reaches(&windows, 0x1000, 8))
  }
}
