import LinuxPrimitives
import NVMeProtocol
import TestSupport
import Testing

@testable import NVMeDevice

/// The controller's thread serves the connections, and sleeps for them and for limits at once.
@Suite(
  .timeLimit(.minutes(1)), .enabled(if: NBDServer.isPossible, "\(NBDServer.remedy)"))
struct `A disk on an NBD export with rate limits` {
  @Test func `Limits of operations and of bytes are kept, without polling, and no data is lost`()
    throws
  {
    let server = try NBDServer.nbdkit(["memory", "16M"])
    let disk = try NBDHost(server.address())
    for change in [
      { $0.operations = RateLimit(perSecond: 200) },
      { $0.bytes = RateLimit(perSecond: 200 * 4096) },
    ] as [(inout RateLimits) -> Void] {
      var limits = RateLimits()
      change(&limits)
      try disk.host.device.limit(limits)
      let (start, before) = (Deadline.now, `A disk with rate limits`.processorTime())
      for number in 0..<100 as Range<UInt64> {
        #expect(try disk.write(8 * number, seed: number) == .success)
      }
      let seconds = Double(Deadline.now - start) / 1e9
      #expect(0.45..<1.5 ~= seconds, "\(seconds) s")
      let spent = Double(`A disk with rate limits`.processorTime() - before) / 1e9
      #expect(spent < 0.4 * seconds, "\(spent) of \(seconds) s")
    }
    #expect(disk.host.device.work.throttle.map { $0.waits > 100 } == true)
    try disk.host.device.limit(RateLimits())
    for number in 0..<100 as Range<UInt64> { #expect(try disk.holds(8 * number, seed: number)) }
  }

  @Test func `A server that is lost while commands are held costs none of them`() throws {
    let server = try NBDServer.qemu(size: "16M", format: "raw")
    let disk = try NBDHost(server.address("disk"))
    var limits = RateLimits()
    limits.operations = RateLimit(perSecond: 50, burst: 1)
    try disk.host.device.limit(limits)
    var queue = disk.queue
    for block in 0..<20 as Range<UInt64> {
      disk.host.put(.io(.write, block: 8 * block, blocks: 8), &queue)
    }
    try disk.host.ring(queue)
    #expect(try disk.host.next(&queue).status == .success)
    server.kill()
    try server.start()
    for _ in 1..<20 { #expect(try disk.host.next(&queue).status == .success) }
  }
}
