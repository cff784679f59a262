import Glibc
import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

/// A value that a test can hand to a thread.
final class Holder: Sendable {
  private let slices = Monitor<PinnedSlices?>(PinnedSlices())

  func pin(
    _ range: GuestRange, for direction: GuestMemoryAccess.Direction, of transfer: GuestMemoryAccess
  ) throws(MemoryError) {
    try slices.withLock { slices throws(MemoryError) in
      try slices?.pin(range, for: direction, of: transfer)
    }
  }

  func release() { slices.withLock { $0?.release() } }

  /// Ends the value itself.
  func drop() { slices.withLock { $0 = nil } }

  var counts: [UInt64] { slices.withLock { [UInt64($0?.count ?? 0), $0?.byteCount ?? 0] } }

  /// What the kernel finds there.
  func written() throws -> [UInt8] {
    var ends: [Int32] = [-1, -1]
    let opened = unsafe pipe(&ends)
    try #require(opened == 0)
    defer { for end in ends { close(end) } }
    let sent = slices.withLock { slices in
      guard let list = unsafe slices?.slices else { return -1 }
      return unsafe writev(ends[1], list.baseAddress, Int32(list.count))
    }
    try #require(sent >= 0)
    var bytes = [UInt8](repeating: 0, count: sent)
    let got = unsafe bytes.withUnsafeMutableBytes {
      unsafe Glibc.read(ends[0], $0.baseAddress, sent)
    }
    #expect(got == sent)
    return bytes
  }
}

@Suite struct `Pinned slices` {
  let memory = GuestMemory(guarded: true)
  let file: TruncatableMemory
  let holder = Holder()

  init() throws {
    file = try TruncatableMemory(size: 0x10000)
    try addWindow(memory, 0x1000, 0x4000, file: file)
    try addWindow(memory, 0x5000, 0x1000, file: file, offset: 0x8000)
  }

  @Test func `Pinned slices show the kernel the content of the DMA windows in order`() throws {
    let transfer = memory.access()
    try transfer.write(at: 0x4FFE, from: [1, 2, 3, 4])
    try transfer.write(at: 0x1000, from: [5])
    try holder.pin(GuestRange(address: 0x4FFE, count: 4), for: .reading, of: transfer)
    try holder.pin(GuestRange(address: 0x1000, count: 1), for: .reading, of: transfer)
    #expect(holder.counts == [3, 5])
    #expect(try holder.written() == [1, 2, 3, 4, 5])
  }

  @Test func `Pinned slices merge adjacent ranges`() throws {
    let transfer = memory.access()
    for page in 1...4 as ClosedRange<UInt64> {
      try holder.pin(GuestRange(address: page << 12, count: 0x1000), for: .reading, of: transfer)
    }
    #expect(holder.counts == [1, 0x4000])
    try holder.pin(GuestRange(address: 0x5000, count: 0x1000), for: .reading, of: transfer)
    #expect(holder.counts == [2, 0x5000])
    // Joined ones hold their window once, and let go of it once.
    holder.release()
    try memory.removeAll(before: .after(.zero))
  }

  @Test(arguments: [4, 5, 1023, 1024])
  func `Pinned slices take as many ranges as a system call does`(_ pieces: Int) throws {
    let transfer = memory.access()
    for piece in 0..<UInt64(pieces) {
      try holder.pin(
        GuestRange(address: 0x1000 + 8 * (piece % 1024), count: 4), for: .writing, of: transfer)
    }
    #expect(holder.counts == [UInt64(pieces), UInt64(4 * pieces)])
    holder.release()
    try memory.removeAll(before: .after(.zero))
  }

  @Test func `Pinned slices refuse one range more than a system call takes and then hold nothing`()
    throws
  {
    let transfer = memory.access()
    for piece in 0..<1024 as Range<UInt64> {
      try holder.pin(GuestRange(address: 0x1000 + 8 * piece, count: 4), for: .writing, of: transfer)
    }
    #expect(throws: MemoryError.tooManyPieces(limit: 1024)) {
      try holder.pin(GuestRange(address: 0x1000, count: 4), for: .writing, of: transfer)
    }
    #expect(holder.counts == [0, 0])
    try memory.removeAll(before: .after(.zero))
  }

  @Test func `Pinned slices hold nothing after a range is refused`() throws {
    try addWindow(memory, 0x6000, 0x1000, .readable, file: file)
    try addWindow(memory, 0x7000, 0x1000)
    let transfer = memory.access()
    let refused: [(UInt64, UInt64, MemoryError)] = [
      (0x5FFF, 2, .notPermitted(at: 0x6000)), (0x7000, 1, .needsMapping(at: 0x7000)),
      (0x8000, 1, .unmapped(at: 0x8000)), (.max, 2, .wraps(at: .max, count: 2)),
    ]
    for (address, count, error) in refused {
      try holder.pin(GuestRange(address: 0x1000, count: 8), for: .writing, of: transfer)
      #expect(throws: error) {
        try holder.pin(GuestRange(address: address, count: count), for: .writing, of: transfer)
      }
      #expect(holder.counts == [0, 0])
    }
    try memory.removeAll(before: .after(.zero))
  }

  @Test(arguments: [false, true])
  func `Pinned slices make unmapping wait for their release`(byEnding: Bool) throws {
    let (memory, holder) = (memory, holder)
    try holder.pin(GuestRange(address: 0x1000, count: 16), for: .writing, of: memory.access())
    let removal = try Outcome { () throws(MemoryError) in
      try? memory.remove(address: 0x1000, size: 0x4000, before: .after(.seconds(10)))
    }
    // Nothing new begins meanwhile.
    #expect(eventually { (try? memory.access().load(at: 0x1000) as UInt8) == nil })
    #expect(!removal.isThere)
    #expect(memory.windowCount == 2)
    if byEnding { holder.drop() } else { holder.release() }
    try removal.get()
    #expect(memory.windowCount == 1)
  }

  @Test func `Pinned slices make unmapping fail if they are not released in time`() throws {
    try holder.pin(GuestRange(address: 0x1000, count: 16), for: .writing, of: memory.access())
    #expect(throws: Errno.resourceBusy) {
      try memory.remove(address: 0x1000, size: 0x4000, before: .after(.milliseconds(10)))
    }
    #expect(memory.windowCount == 2)
    holder.release()
    try memory.removeSoon(0x1000, 0x4000)
  }

  @Test func `Pinned slices keep the memory of a disconnected client until their release`() async {
    await #expect(processExitsWith: .success) {
      let memory = GuestMemory(guarded: true)
      let file = try TruncatableMemory(size: 0x1000)
      try addWindow(memory, 0x1000, 0x1000, file: file)
      let transfer = memory.access()
      try transfer.write(at: 0x1000, from: [1, 2, 3])
      let holder = Holder()
      try holder.pin(GuestRange(address: 0x1000, count: 3), for: .reading, of: transfer)
      memory.disconnect()
      #expect(mappingsOfClients() == 1)
      #expect(try holder.written() == [1, 2, 3])
      holder.release()
      #expect(mappingsOfClients() == 0)
      // A licence of the client that has gone pins nothing.
      try addWindow(memory, 0x1000, 0x1000, file: file)
      memory.allowDMA()
      #expect(throws: MemoryError.stale) {
        try holder.pin(GuestRange(address: 0x1000, count: 3), for: .reading, of: transfer)
      }
      try holder.pin(GuestRange(address: 0x1000, count: 3), for: .reading, of: memory.access())
      memory.disconnect()
      holder.drop()
      #expect(mappingsOfClients() == 0)
    }
  }

  @Test func `Pinned slices report their writes at their release`() throws {
    let seen = Monitor<[UInt64: UInt64]>([:])
    memory.observeWrites { address, count in seen.withLock { $0[address] = count } }
    let transfer = memory.access()
    try holder.pin(GuestRange(address: 0x1000, count: 9), for: .reading, of: transfer)
    holder.release()
    try holder.pin(GuestRange(address: 0x4F00, count: 0x200), for: .writing, of: transfer)
    #expect(seen.withLock { $0.isEmpty })
    holder.release()
    #expect(seen.withLock { $0 } == [0x4F00: 0x100, 0x5000: 0x100])
  }
}
