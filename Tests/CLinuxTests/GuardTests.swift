import CLinux
import Glibc
import GuardBench
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

/// The two ways in which memory that a peer can take away is touched.
///
/// Whatever installs a handler for signals is run in a process of its own.
enum Guard: String, CaseIterable, Codable {
  /// What this processor has: assembler, if there is one for it.
  case native
  /// What all processors have.
  case portable

  func install() { self == .native ? clinux_guard_install() : portable_guard_install() }
}

/// 64 KiB of a peer's file, of which the peer can cut off what it likes.
@safe
private final class Lent {
  let file: TruncatableMemory
  // Sound: mapped with `size` bytes for the life of this object; tests stay inside.
  let address: UnsafeMutableRawPointer
  static let size: UInt64 = 0x10000

  init() throws {
    file = try TruncatableMemory(size: Self.size)
    var mapped: UnsafeMutableRawPointer?
    let descriptor = try file.lent()
    let result = unsafe clinux_map(descriptor.number, 0, Self.size, 1, 1, &mapped)
    try #require(result == 0)
    unsafe address = try #require(unsafe mapped)
  }

  deinit { _ = unsafe clinux_unmap(address, Self.size) }
}

private let fault = -EFAULT

@Suite struct `A guarded access` {
  @Test(arguments: Guard.allCases)
  func `A guarded access works like a plain access in each width`(_ which: Guard) async {
    await #expect(processExitsWith: .success) { [which] in
      which.install()
      let lent = try Lent()
      for size in [1, 2, 4, 8] { unsafe try checkNumbers(which, lent.address + 64, size) }
      // Loads and stores may lie anywhere.
      var seen: UInt64 = 0
      let stored = unsafe store(which, lent.address + 4093, 8, 0x0102_0304_0506_0708)
      let loaded = unsafe load(which, lent.address + 4093, 8, &seen)
      #expect(stored == 0 && loaded == 0 && seen == 0x0102_0304_0506_0708)
      try unsafe checkCopies(which, lent.address)
      try unsafe checkBlocks(which, lent.address + 4096 - 16)
    }
  }

  @Test(arguments: Guard.allCases)
  func `A guarded access to truncated memory fails each time`(_ which: Guard) async {
    await #expect(processExitsWith: .success) { [which] in
      which.install()
      let lent = try Lent()
      lent.file.resize(to: 0x1000)
      for _ in 0..<1000 { unsafe checkFaults(which, lent.address) }
      lent.file.resize(to: Lent.size)
      var seen: UInt64 = 1
      let loaded = unsafe load(which, lent.address + 0x8000, 8, &seen)
      #expect(loaded == 0 && seen == 0)
    }
  }

  @Test(arguments: Guard.allCases)
  func `A guarded access to truncated memory fails on several threads at once`(_ which: Guard) async
  {
    await #expect(processExitsWith: .success) { [which] in
      which.install()
      let faults = Monitor(0)
      for _ in 0..<4 {
        try DetachedThread.start("fault") {
          guard let lent = try? Lent() else { return }
          lent.file.resize(to: 0)
          var count = 0
          for _ in 0..<5000 {
            var value: UInt64 = 0
            if unsafe load(which, lent.address, 4, &value) == fault { count += 1 }
          }
          faults.update { $0 += count }
        }
      }
      let all = faults.withLock(when: { $0 >= 20_000 }, before: .after(.seconds(20))) { $0 }
      #expect(all == 20_000)
    }
  }

  @Test(arguments: Guard.allCases, [true, false])
  func `A fault outside a guarded access goes to the signal handler that was installed before`(
    _ which: Guard, withInfo: Bool
  ) async {
    await #expect(processExitsWith: .success) { [which, withInfo] in
      bench_install_handler(withInfo ? 1 : 0)
      which.install()
      let lent = try Lent()
      lent.file.resize(to: 0)
      let expected: Int32 = withInfo ? 1 : 2
      for _ in 0..<3 {
        let foreign = unsafe bench_touch(lent.address)
        #expect(foreign == expected)
        // And ours are still ours.
        var value: UInt64 = 0
        let own = unsafe load(which, lent.address, 8, &value)
        #expect(own == fault)
      }
    }
  }

  @Test(arguments: Guard.allCases)
  func `A fault outside a guarded access kills the process if there was no signal handler`(
    _ which: Guard
  ) async {
    await #expect(processExitsWith: .signal(SIGBUS)) { [which] in
      signal(SIGBUS, SIG_DFL)
      which.install()
      let lent = try Lent()
      lent.file.resize(to: 0)
      _ = unsafe bench_touch(lent.address)
    }
  }

  @Test func `The SIGBUS handler is installed once and only if memory is to be guarded`() async {
    await #expect(processExitsWith: .success) {
      let before = bench_handler()
      let memory = GuestMemory(guarded: false)
      let file = try TruncatableMemory(size: 0x1000)
      try memory.add(map(0), file.lent(), limit: 4)
      #expect(bench_handler() == before)
      try GuestMemory(guarded: true).add(map(0), file.lent(), limit: 4)
      let ours = bench_handler()
      #expect(ours != before)
      // A program that handles the signal later keeps doing so.
      bench_install_handler(1)
      let theirs = bench_handler()
      try GuestMemory(guarded: true).add(map(0), file.lent(), limit: 4)
      #expect(bench_handler() == theirs)
    }
  }
}

@Suite struct `A server that does not handle memory faults` {
  @Test func `A server without fault handling does not replace the signal handler of the program`()
    async
  {
    await #expect(processExitsWith: .success) {
      bench_install_handler(1)
      let before = bench_handler()
      let (client, file, transfer) = try lend()
      #expect(bench_handler() == before)
      // Memory that is there works as ever.
      try transfer.store(7 as UInt32, at: 0)
      #expect(try transfer.load(at: 0) == 7 as UInt32)
      withExtendedLifetime((client, file)) {}
    }
  }

  @Test func `A server without fault handling dies of SIGBUS if the program has no signal handler`()
    async
  {
    await #expect(processExitsWith: .signal(SIGBUS)) {
      signal(SIGBUS, SIG_DFL)
      let (client, file, transfer) = try lend()
      file.resize(to: 0)
      _ = try transfer.load(at: 0) as UInt32
      withExtendedLifetime(client) {}
    }
  }
}

private final class Plain: PluggedDevice {
  let pci = PCIDescription(
    identity: PCIIdentity(
      vendor: 1, device: 1, classCode: PCIClass(base: 0xFF, sub: 0, programmingInterface: 0)))
  let bus = Monitor<DeviceContext?>(nil)
  func attach(to bus: DeviceContext) { self.bus.update { $0 = bus } }
  func read(_ access: RegionAccess, into bytes: inout MutableRawSpan) {}
  func write(_ access: RegionAccess, from bytes: Span<UInt8>) {}
  func reset() {}
}

private func map(_ address: UInt64) -> DMAMap {
  DMAMap(flags: [.readable, .writable], address: address, size: 0x1000)
}

/// A client that lends a page to a server that does not handle memory faults; the licence ends with it.
private func lend() throws -> (ScriptedPeer, TruncatableMemory, GuestMemoryAccess) {
  let (mine, theirs) = try MessageSocket.pair()
  var options = ServerOptions()
  options.handlesMemoryFaults = false
  let device = Plain()
  let server = try DeviceServer(device, options)
  try DetachedThread.start("server") { server.serve(theirs) }
  let peer = ScriptedPeer(mine)
  _ = try peer.ask(ScriptedPeer.versionOfQEMU)
  let file = try TruncatableMemory(size: 0x1000)
  var descriptors = DescriptorList()
  descriptors.append(try file.lent())
  let answer = try peer.ask(message(.dmaMap, bytes(of: map(0))), descriptors: descriptors)
  try #require(answer.errno == nil)
  let bus = try #require(device.bus.withLock { $0 })
  return (peer, file, bus.memory.access())
}
