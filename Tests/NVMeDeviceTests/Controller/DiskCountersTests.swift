import NVMeProtocol
import TestSupport
import Testing
import VFIOUserServer

@testable import NVMeDevice

@Suite struct `The work that a disk has done` {
  @Test func `I/O commands are counted by kind with the bytes that they have moved`() throws {
    let host = try TestHost()
    try host.enable()
    var queue = try host.makeQueue()
    #expect(host.device.work.kinds.allSatisfy { $0.count == 0 })
    let block: UInt64 = 512
    for _ in 0..<40 { #expect(try host.run(.io(.read, blocks: 2), &queue).status == .success) }
    for _ in 0..<3 { #expect(try host.run(.io(.write), &queue).status == .success) }
    #expect(try host.run(.io(.flush), &queue).status == .success)
    #expect(try host.run(.io(.writeZeroes), &queue).status == .success)
    #expect(try host.run(.io(.read, block: 1 << 40), &queue).status != .success)
    _ = try host.run(.identify(.controller))
    #expect(eventually { host.device.work.inFlight == 0 })
    let work = host.device.work
    #expect(
      work.kinds == [
        WorkStatistics("read", 41, bytes: 80 * block), WorkStatistics("write", 3, bytes: 3 * block),
        WorkStatistics("flush", 1), WorkStatistics("other", 1),
      ])
    #expect(work.failures == 1)
    // One in 16 of 46.
    #expect(work.times.count == 2)
    #expect(work.times.least > 0)
  }
}
