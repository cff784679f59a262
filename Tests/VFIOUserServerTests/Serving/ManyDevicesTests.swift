import Glibc
import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

@Suite struct `Many devices in one process` {
  @Test
  func `256 devices in one process serve a client each and leave no descriptor and no thread`()
    async
  {
    await #expect(processExitsWith: .success) { try checkManyDevices() }
  }

  @Test func `A client that truncates its memory causes errors in its own device only`() throws {
    let (victim, neighbour) = (CallbackDevice(), CallbackDevice())
    for device in [victim, neighbour] {
      device.state.withLock { $0.onWrite = { Self.copyAround($0, device) } }
    }
    let (bad, good) = (try Lender(victim), try Lender(neighbour))
    let isOver = Monitor(false)
    let turns = Monitor(0)
    // The neighbour works all the while, on its session's thread, its worker and one of its own.
    let transfer = try neighbour.bus.memory.access()
    let worker = try Outcome { () throws(MemoryError) -> Int in
      var done = 0
      while !isOver.withLock({ $0 }) {
        try transfer.write(at: 0x18000, from: transfer.read(at: 0x10000, count: 0x8000))
        done += 1
      }
      return done
    }
    for round in 0..<100 {
      #expect(try bad.ring() == nil)
      #expect(try good.ring() == nil)
      bad.memory.resize(to: round % 2 == 0 ? 0 : 0x3000)
      #expect(try bad.ring() == .truncated(at: 0x14000))
      #expect(try good.ring() == nil)
      bad.memory.resize(to: 0x10000)
      turns.withLock { $0 += 1 }
    }
    // A system call gets EFAULT instead.
    bad.memory.resize(to: 0)
    let written = try unsafe victim.bus.memory.access().withSystemCallSlices(
      of: [GuestRange(address: 0x10000, count: 4096)], for: .reading
    ) { slices in
      let null = unsafe open("/dev/shm/vfio-user-\(getpid())", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
      defer {
        close(null)
        unsafe unlink("/dev/shm/vfio-user-\(getpid())")
      }
      let result = unsafe writev(null, slices.baseAddress, Int32(slices.count))
      return result < 0 ? errno : 0
    }
    #expect(written == EFAULT)
    isOver.update { $0 = true }
    #expect(try worker.get() > 0)
    #expect(try good.ring() == nil)
  }

  /// What the callback of either device does: loads, copies, and notes how it went.
  private static func copyAround(_ bus: DeviceContext, _ device: CallbackDevice) {
    let transfer = bus.memory.access()
    var failure: MemoryError?
    do throws(MemoryError) {
      _ = try transfer.load(at: 0x14000) as UInt64
      try transfer.write(at: 0x16000, from: transfer.read(at: 0x15000, count: 0x1000))
    } catch {
      failure = error
    }
    device.state.update { $0.lastFailure = failure }
  }
}

/// A client that lends 64 KiB at 0x10000.
private final class Lender {
  let device: CallbackDevice
  let memory: TruncatableMemory
  private let peer: ScriptedPeer

  init(_ device: CallbackDevice) throws {
    self.device = device
    peer = try connect(to: device)
    memory = try TruncatableMemory(size: 0x10000)
    try HostileBench.map(peer, memory)
  }

  /// Rings the device, and hears what became of it.
  func ring() throws -> MemoryError? {
    let write = bytes(of: RegionAccess(offset: 0, region: .bar0, count: 4)) + [1, 2, 3, 4]
    #expect(try peer.ask(message(.regionWrite, write)).errno == nil)
    return device.state.withLock { $0.lastFailure }
  }
}

private let manyDevices = 256

private func checkManyDevices() throws {
  var limit = rlimit()
  #expect(unsafe getrlimit(__rlimit_resource_t(7), &limit) == 0)
  limit.rlim_cur = limit.rlim_max
  #expect(unsafe setrlimit(__rlimit_resource_t(7), &limit) == 0)
  try serveMany(4)
  let descriptors = settledDescriptors()
  let threads = threadsNamed("vfio-user")
  try serveMany(manyDevices)
  #expect(eventually { openDescriptors() <= descriptors })
  #expect(eventually { threadsNamed("vfio-user") <= threads })
}

/// Each device on a path of its own, with a client that uses it; then all of them stop.
private func serveMany(_ count: Int) throws {
  let paths = (0..<count).map { _ in socketPath() }
  let servers = try paths.map { path in
    let server = try DeviceServer(TestDevice())
    try server.start(on: ListeningSocket(path: path))
    return server
  }
  let peers = try paths.map { ScriptedPeer(try MessageSocket(connectingTo: $0)) }
  for peer in peers { #expect(try peer.ask(ScriptedPeer.versionOfQEMU).errno == nil) }
  let place = RegionAccess(offset: 8, region: .bar2, count: 2)
  for (number, peer) in peers.enumerated() {
    let data = [UInt8(truncatingIfNeeded: number), UInt8(truncatingIfNeeded: number >> 8)]
    #expect(try peer.ask(message(.regionWrite, bytes(of: place) + data)).errno == nil)
  }
  for (number, peer) in peers.enumerated() {
    let answer = try peer.ask(message(.regionRead, bytes(of: place)))
    #expect(
      answer.payload.suffix(2)
        == [UInt8(truncatingIfNeeded: number), UInt8(truncatingIfNeeded: number >> 8)])
  }
  for server in servers { server.stop() }
  for server in servers { #expect(server.waitUntilStopped()) }
  for peer in peers { #expect(throws: StreamError.closedByPeer) { try peer.receive() } }
  for path in paths {
    #expect((try? MessageSocket(connectingTo: path)) == nil)
  }
}
