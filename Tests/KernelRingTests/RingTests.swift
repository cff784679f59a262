import CLinux
import Glibc
import KernelRing
import SystemCallFilter
import SystemPackage
import TestSupport
import Testing
import LinuxPrimitives

/// A file that is gone with its last user, and memory to read and write it with.
@safe
final class Scratch {
  static let blockSize = 4096
  let file: FileDescriptor
  // Sound: allocated in `init`, freed in `deinit`; tests stay inside of `count` blocks.
  let memory: UnsafeMutableRawBufferPointer
  private let slices: UnsafeMutableBufferPointer<iovec>

  init(blocks count: Int, direct: Bool = false) throws {
    let path = "/var/tmp/ring-\(getpid())-\(UInt64.random(in: .min ... .max))"
    var number = unsafe open(
      path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | (direct ? 0o40000 : 0), 0o600)
    if number < 0, direct { number = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600) }
    try #require(number >= 0)
    unsafe unlink(path)
    file = FileDescriptor(rawValue: number)
    unsafe memory = .allocate(byteCount: count * Self.blockSize, alignment: Self.blockSize)
    unsafe slices = .allocate(capacity: count)
    for index in 0..<count {
      unsafe slices[index] = iovec(
        iov_base: memory.baseAddress.map { unsafe $0 + index * Self.blockSize },
        iov_len: Self.blockSize)
    }
  }

  deinit {
    try? file.close()
    unsafe memory.deallocate()
    unsafe slices.deallocate()
  }

  /// Some of the blocks, as a system call wants them.
  @unsafe
  func blocks(_ range: Range<Int>) -> UnsafeBufferPointer<iovec> {
    unsafe UnsafeBufferPointer(rebasing: slices[range])
  }

  func fill(_ block: Int, _ value: UInt8) {
    for offset in 0..<Self.blockSize { unsafe memory[block * Self.blockSize + offset] = value }
  }

  func content(_ block: Int) -> Set<UInt8> {
    unsafe Set(memory[(block * Self.blockSize)..<((block + 1) * Self.blockSize)])
  }
}

/// A ring that two threads use.
final class SharedRing: Sendable {
  let ring: Ring
  init(_ ring: consuming Ring) { self.ring = ring }
}

extension Ring {
  /// Submits, and waits until everything has come back.
  func finish() throws -> [UInt64: RingCompletion] {
    var all: [UInt64: RingCompletion] = [:]
    while inFlight > 0 {
      try submit(waitingFor: 1)
      take { all[$0.id] = $0 }
    }
    return all
  }
}

@Suite(.enabled(if: Ring.unavailability == nil, "this machine lets nobody have an io_uring"))
struct `An io_uring` {
  @Test(arguments: [false, true])
  func `An io_uring writes and reads several slices in one operation`(direct: Bool) throws {
    let scratch = try Scratch(blocks: 8, direct: direct)
    let ring = try Ring(entries: 8)
    for block in 0..<4 { scratch.fill(block, UInt8(block + 1)) }
    try unsafe ring.write(scratch.file, from: scratch.blocks(0..<4), at: 8192, id: 7)
    #expect(try ring.finish()[7]?.byteCount == 4 * Scratch.blockSize)
    try unsafe ring.read(scratch.file, into: scratch.blocks(4..<8), at: 8192, id: 8)
    #expect(try ring.finish()[8]?.byteCount == 4 * Scratch.blockSize)
    for block in 0..<4 { #expect(scratch.content(block + 4) == [UInt8(block + 1)]) }
  }

  @Test func `An io_uring fails misaligned direct I/O with EINVAL and the id of the operation`()
    throws
  {
    let scratch = try Scratch(blocks: 2, direct: true)
    let ring = try Ring(entries: 2)
    scratch.fill(0, 1)
    var odd = unsafe iovec(iov_base: scratch.memory.baseAddress, iov_len: 100)
    try unsafe withUnsafePointer(to: &odd) { slice in
      unsafe try ring.write(
        scratch.file, from: UnsafeBufferPointer(start: slice, count: 1), at: 3, id: 99)
      let all = try ring.finish()
      #expect(all[99]?.failure == .invalidArgument)
    }
  }

  @Test func `An io_uring returns the id of a failed operation`() throws {
    let scratch = try Scratch(blocks: 1)
    let ring = try Ring(entries: 4)
    let closed = FileDescriptor(rawValue: 1_000_000)
    try unsafe ring.read(closed, into: scratch.blocks(0..<1), at: 0, id: .max)
    try ring.sync(closed, id: 0)
    try ring.sync(scratch.file, id: 5)
    let all = try ring.finish()
    #expect(all[.max]?.failure == .badFileDescriptor)
    #expect(all[0]?.failure == .badFileDescriptor)
    #expect(all[5]?.result == 0)
  }

  @Test func `An io_uring fails with EFAULT for unmapped memory and stays usable`() throws {
    let scratch = try Scratch(blocks: 1)
    let ring = try Ring(entries: 4)
    var nowhere = unsafe iovec(iov_base: UnsafeMutableRawPointer(bitPattern: 4096), iov_len: 4096)
    try unsafe ring.write(scratch.file, from: scratch.blocks(0..<1), at: 0, id: 0)
    _ = try ring.finish()
    try unsafe withUnsafePointer(to: &nowhere) { slice in
      unsafe try ring.read(
        scratch.file, into: UnsafeBufferPointer(start: slice, count: 1), at: 0, id: 1)
      #expect(try ring.finish()[1]?.failure == .badAddress)
    }
    try unsafe ring.read(scratch.file, into: scratch.blocks(0..<1), at: 0, id: 2)
    #expect(try ring.finish()[2]?.byteCount == Scratch.blockSize)
  }

  @Test(arguments: [Ring.Clearing.hole, .zeros])
  func `An io_uring clears a file range by a hole or by allocated zeros`(_ clearing: Ring.Clearing)
    throws
  {
    let scratch = try Scratch(blocks: 3)
    let ring = try Ring(entries: 4)
    for block in 0..<3 { scratch.fill(block, 9) }
    try unsafe ring.write(scratch.file, from: scratch.blocks(0..<3), at: 0, id: 0)
    _ = try ring.finish()
    try ring.clear(scratch.file, at: 4096, length: 8192, clearing, id: 1)
    #expect(try ring.finish()[1]?.result == 0)
    try unsafe ring.read(scratch.file, into: scratch.blocks(0..<3), at: 0, id: 2)
    #expect(try ring.finish()[2]?.byteCount == 3 * Scratch.blockSize)
    #expect(scratch.content(0) == [9])
    #expect(scratch.content(1) == [0])
    #expect(scratch.content(2) == [0])
    var info = stat()
    #expect(unsafe fstat(scratch.file.rawValue, &info) == 0)
    #expect(info.st_blocks * 512 == (clearing == .hole ? 4096 : 12288))
  }

  @Test func `An io_uring withdraws operations that are not submitted and executes none of them`()
    throws
  {
    let scratch = try Scratch(blocks: 2)
    let ring = try Ring(entries: 4)
    for _ in 0..<3 {
      try ring.nothing(id: 1)
      try ring.submit()
      scratch.fill(0, 7)
      try unsafe ring.write(scratch.file, from: scratch.blocks(0..<1), at: 0, id: 2)
      try ring.sync(scratch.file, id: 3)
      var ids: Set<UInt64> = []
      #expect(ring.withdraw { ids.insert($0) } == 2)
      #expect(ids == [2, 3])
      #expect(ring.queued == 0)
      #expect(ring.withdraw { ids.insert($0) } == 0)
      #expect(Array(try ring.finish().keys) == [1])
    }
    try unsafe ring.read(scratch.file, into: scratch.blocks(1..<2), at: 0, id: 4)
    #expect(try ring.finish()[4]?.byteCount == 0)
  }

  @Test func `An io_uring read returns fewer bytes at the end of a file`() throws {
    let scratch = try Scratch(blocks: 2)
    let ring = try Ring(entries: 2)
    try unsafe ring.write(
      scratch.file, from: scratch.blocks(0..<1), at: 0, id: 1, isDurable: true)
    _ = try ring.finish()
    try unsafe ring.read(scratch.file, into: scratch.blocks(0..<2), at: 2048, id: 2)
    try unsafe ring.read(scratch.file, into: scratch.blocks(0..<1), at: 1 << 40, id: 3)
    let all = try ring.finish()
    #expect(all[2]?.byteCount == 2048)
    #expect(all[3]?.result == 0)
  }

  @Test
  func `An io_uring takes as many operations as it has entries and then reports that it is full`()
    throws
  {
    let count = 64
    let scratch = try Scratch(blocks: count, direct: true)
    let ring = try Ring(entries: count)
    for round in 0..<20 {
      for block in 0..<count {
        scratch.fill(block, UInt8(truncatingIfNeeded: block + round))
        try unsafe ring.write(
          scratch.file, from: scratch.blocks(block..<block + 1),
          at: UInt64(block * Scratch.blockSize), id: UInt64(block))
      }
      #expect(throws: RingError.full(limit: count)) { try ring.nothing(id: 1) }
      #expect(try ring.submit() == count)
      #expect(throws: RingError.full(limit: count)) { try ring.nothing(id: 1) }
      let all = try ring.finish()
      #expect(all.count == count)
      #expect(all.values.allSatisfy { $0.byteCount == Scratch.blockSize })
    }
    for block in 0..<count {
      scratch.fill(block, 0)
      try unsafe ring.read(
        scratch.file, into: scratch.blocks(block..<block + 1),
        at: UInt64(block * Scratch.blockSize), id: UInt64(block))
    }
    _ = try ring.finish()
    for block in 0..<count { #expect(scratch.content(block) == [UInt8(block + 19)]) }
  }

  @Test func `An io_uring continues a batch after an operation that the kernel refuses`() throws {
    let scratch = try Scratch(blocks: 1)
    let ring = try Ring(entries: 8)
    for id in 0..<8 as Range<UInt64> {
      if id % 2 == 0 {
        try ring.sync(FileDescriptor(rawValue: 1_000_000), id: id)
      } else {
        try unsafe ring.write(scratch.file, from: scratch.blocks(0..<1), at: 0, id: id)
      }
    }
    let all = try ring.finish()
    #expect(all.count == 8)
    for id in 0..<8 as Range<UInt64> { #expect((all[id]?.failure == nil) == (id % 2 == 1)) }
  }

  @Test func `An io_uring refuses invalid offsets, lengths and slice counts`() throws {
    let scratch = try Scratch(blocks: 1)
    let ring = try Ring(entries: 1)
    let slices = unsafe scratch.blocks(0..<1)
    #expect(throws: RingError.outOfRange(offset: 1 << 63, length: 0)) {
      try unsafe ring.read(scratch.file, into: slices, at: 1 << 63, id: 0)
    }
    #expect(throws: RingError.outOfRange(offset: .max, length: 2)) {
      try ring.clear(scratch.file, at: .max, length: 2, .hole, id: 0)
    }
    #expect(throws: RingError.outOfRange(offset: 0, length: 0)) {
      try ring.clear(scratch.file, at: 0, length: 0, .hole, id: 0)
    }
    let many = UnsafeMutableBufferPointer<iovec>.allocate(capacity: 1025)
    defer { unsafe many.deallocate() }
    unsafe many.initialize(repeating: iovec(iov_base: nil, iov_len: 0))
    #expect(throws: RingError.tooManySlices(1025, limit: 1024)) {
      try unsafe ring.read(scratch.file, into: UnsafeBufferPointer(many), at: 0, id: 0)
    }
    #expect(ring.inFlight == 0)
  }

  @Test func `A completion of an io_uring signals its eventfd and makes its descriptor readable`()
    throws
  {
    let ring = try Ring(entries: 2)
    let counter = try EventFD()
    try ring.notify(counter)
    #expect(!EventPoll.isReadable(ring.descriptor, for: .zero))
    try ring.nothing(id: 1)
    try ring.submit()
    #expect(counter.wait(for: .seconds(10)) == 1)
    #expect(EventPoll.isReadable(ring.descriptor, for: .seconds(10)))
    try ring.notify(nil)
    try ring.nothing(id: 2)
    #expect(try ring.finish().count == 2)
    #expect(counter.take() == 0)
  }

  @Test func `An io_uring can be filled by one thread and emptied by another`() throws {
    let rounds: UInt64 = 20_000
    let shared = SharedRing(try Ring(entries: 16))
    let sum = Monitor<UInt64?>(nil)
    try DetachedThread.start("taker") {
      var (taken, total): (UInt64, UInt64) = (0, 0)
      while taken < rounds, (try? shared.ring.wait()) != nil {
        shared.ring.take { completion in
          taken += 1
          total += completion.id
        }
      }
      let result = total
      sum.update { $0 = result }
    }
    var next: UInt64 = 0
    while next < rounds {
      while next < rounds, (try? shared.ring.nothing(id: next)) != nil { next += 1 }
      try shared.ring.submit()
    }
    let total = sum.withLock(when: { $0 != nil }, before: .after(.seconds(30))) { $0 }
    #expect(total == rounds * (rounds - 1) / 2)
    #expect(shared.ring.inFlight == 0)
  }

  @Test func `The end of an io_uring waits for operations in flight and leaves no descriptor`()
    async
  {
    await #expect(processExitsWith: .success) {
      let before = settledDescriptors()
      for _ in 0..<50 {
        let scratch = try Scratch(blocks: 16, direct: true)
        let ring = try Ring(entries: 16)
        for block in 0..<16 {
          scratch.fill(block, 3)
          try unsafe ring.write(
            scratch.file, from: scratch.blocks(block..<block + 1),
            at: UInt64(block * Scratch.blockSize), id: 0)
        }
        // Some handed over, some not.
        try ring.submit()
        _ = consume ring
      }
      #expect(settledDescriptors() == before)
    }
  }
}

@Suite struct `A process without io_uring` {
  @Test func `A process that may not create an io_uring, as in a container, is told EPERM`() async {
    await #expect(processExitsWith: .success) {
      #expect(filter_refuse_rings(EPERM) == 0)
      let expected = RingError.unavailable(
        SystemCallError(call: "io_uring_setup", code: .notPermitted))
      #expect(Ring.unavailability == expected)
    }
  }

  @Test func `A process on a kernel without io_uring is told ENOSYS`() async {
    await #expect(processExitsWith: .success) {
      #expect(filter_refuse_rings(ENOSYS) == 0)
      let expected = RingError.unavailable(
        SystemCallError(call: "io_uring_setup", code: .noFunction))
      #expect(Ring.unavailability == expected)
    }
  }
}
