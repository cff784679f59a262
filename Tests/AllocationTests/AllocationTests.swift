import AllocationCounter
import Synchronization
import SystemPackage
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

/// Debug builds allocate in innocent code, so the counts mean something in release builds only:
/// `swift test -c release -Xswiftc -enable-testing --filter Allocation`.
let isCounted: Bool = {
  #if DEBUG
    return false
  #else
    return allocation_counter_works() == 1
  #endif
}()

/// Four kilobytes behind a callback, which notes how much its thread has allocated so far.
private final class Registers: Device {
  let pci = PCIDescription(
    identity: PCIIdentity(
      vendor: 1, device: 1, classCode: PCIClass(base: 0xFF, sub: 0, programmingInterface: 0)),
    bars: [0: BaseAddressRegister(.memory32(prefetchable: false), size: 4096)])
  let allocations = Atomic<UInt64>(0)

  func read(_ access: RegionAccess, into bytes: inout MutableRawSpan) throws(Errno) {
    allocations.store(allocation_count(), ordering: .relaxed)
  }
  func write(_ access: RegionAccess, from bytes: Span<UInt8>) throws(Errno) {
    allocations.store(allocation_count(), ordering: .relaxed)
  }
  func reset() {}
}

@Suite(
  .enabled(if: isCounted, "counts mean something in release builds without a sanitizer only"),
  .serialized)
struct `Allocations at rest` {
  /// Allocations of this thread and of the server's, for 10,000 rounds after as many to warm up.
  private func count(_ body: (Client) throws -> Void) throws -> (client: UInt64, server: UInt64) {
    let device = Registers()
    let (mine, theirs) = try MessageSocket.pair()
    let server = try DeviceServer(device)
    try DetachedThread.start("server") { server.serve(theirs) }
    let client = try Client(mine)
    for _ in 0..<10_000 { try body(client) }
    let before = (allocation_count(), device.allocations.load(ordering: .relaxed))
    for _ in 0..<10_000 { try body(client) }
    return (
      allocation_count() - before.0, device.allocations.load(ordering: .relaxed) - before.1
    )
  }

  @Test func `are none on either side for a read`() throws {
    let counted = try count { _ = try $0.load(.bar0, at: 0, as: UInt32.self) }
    #expect(counted.client == 0)
    #expect(counted.server == 0)
  }

  @Test func `are none on either side for a write`() throws {
    let counted = try count { try $0.store(UInt32(1), .bar0, at: 0) }
    #expect(counted.client == 0)
    #expect(counted.server == 0)
  }

  @Test func `are none on either side for a posted write`() throws {
    let counted = try count { client in
      try client.post(UInt32(1), .bar0, at: 0)
      _ = try client.load(.bar0, at: 0, as: UInt32.self)
    }
    #expect(counted.client == 0)
    #expect(counted.server == 0)
  }

  @Test func `are none for loads and stores of any type`() throws {
    let counted = try count { client in
      _ = try client.load(.bar0, at: 0, as: UInt8.self)
      _ = try client.load(.bar0, at: 0, as: UInt16.self)
      _ = try client.load(.bar0, at: 0, as: UInt64.self)
      try client.store(UInt8(1), .bar0, at: 0)
      try client.store(UInt64(1), .bar0, at: 0)
    }
    #expect(counted.client == 0)
    #expect(counted.server == 0)
  }

  @Test func `are seen by the counter`() {
    let before = allocation_count()
    var objects: [AnyObject] = []
    for _ in 0..<100 { objects.append(Registers()) }
    #expect(allocation_count() - before >= 100)
  }
}
