import NVMeProtocol
import TestSupport
import Testing
import VFIOUserTransport

@testable import NVMeDevice

@Suite struct `Memory for Compare and Verify` {
  @Test func `Compare and Verify allocate only what they need, and at most 64 KiB`() throws {
    let engine = HeldEngine()
    let host = try TestHost { $0.makeEngine = { engine } }
    try host.enable()
    var queue = try host.makeQueue(1, entries: 64)
    let pages = (1..<256).map { TestHost.data + UInt64($0) * 4096 }
    host.provide(
      pages.flatMap { page in (0..<8).map { UInt8(truncatingIfNeeded: page >> (8 * $0)) } },
      at: TestHost.lists)
    for index in 0..<60 {
      host.put(.io(index % 2 == 0 ? .compare : .verify, block: UInt64(index)), &queue)
    }
    let long = SubmissionEntry.io(.compare, blocks: 2048).with { $0.dataPointer2 = TestHost.lists }
    host.put(long, &queue)
    try host.ring(queue)
    #expect(eventually { engine.held.count == 61 })
    let controller = host.device.controller
    let sizes = controller.turn.withLock { _ in
      controller.slots.all.compactMap(\.request.buffer?.size)
    }
    #expect(sizes.count == 61 && sizes.filter { $0 > 4096 } == [64 << 10])
    engine.letGo()
    for _ in 0..<61 { #expect(try host.next(&queue).status == .success) }
  }
}
