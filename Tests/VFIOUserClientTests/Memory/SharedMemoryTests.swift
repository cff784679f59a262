import TestSupport
import Testing
import VFIOUserClient
import VFIOUserTransport

@Suite struct `Memory that is shared with a device` {
  let memory: SharedMemory

  init() throws { memory = try SharedMemory(size: 8192) }

  @Test func `Shared memory holds integers in little endian`() {
    memory.store(0x1122_3344 as UInt32, at: 4)
    memory.store(0x8877_6655_4433_2211 as UInt64, at: 8184)
    #expect(memory.read(at: 4, count: 4) == [0x44, 0x33, 0x22, 0x11])
    #expect(memory.load(at: 4) == 0x1122_3344 as UInt32)
    #expect(memory.load(at: 6) == 0x1122 as UInt16)
    #expect(memory.load(at: 0) == 0x1122_3344_0000_0000 as UInt64)
    #expect(memory.load(at: 8184) == 0x8877_6655_4433_2211 as UInt64)
  }

  @Test func `Shared memory is filled and written in pieces`() {
    memory.fill(at: 1, count: 3, with: 7)
    #expect(memory.read(at: 0, count: 5) == [0, 7, 7, 7, 0])
    memory.write(at: 8189, from: [1, 2, 3].span)
    #expect(memory.read(at: 8188, count: 4) == [0, 1, 2, 3])
  }

  @Test func `Shared memory shows a stored integer only after the stores before it`() throws {
    let (memory, rounds) = (memory, 100_000 as UInt32)
    let isDone = Monitor(false)
    try DetachedThread.start("device") {
      for round in 1...rounds {
        memory.store(UInt64(round), at: 128)
        memory.store(round, at: 0)
      }
      isDone.update { $0 = true }
    }
    var last: UInt32 = 0
    while last < rounds {
      last = memory.load(at: 0)
      #expect(memory.load(at: 128) >= UInt64(last))
    }
    _ = isDone.withLock(when: { $0 }) { _ in }
  }

  @Test(arguments: [8185, 8192, .max] as [UInt64])
  func `An access outside of shared memory ends the process`(offset: UInt64) async {
    await #expect(processExitsWith: .failure) { [offset] in
      _ = try SharedMemory(size: 8192).load(at: offset, as: UInt64.self)
    }
  }
}
