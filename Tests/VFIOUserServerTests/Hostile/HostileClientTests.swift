import Glibc
import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

@Suite struct `A hostile client` {
  static let all = Hostility.defects + Hostility.habits + Hostility.descriptors

  @Test(arguments: all)
  func `A hostile client harms neither its neighbour nor the next client`(_ hostility: Hostility)
    throws
  {
    let bench = try HostileBench()
    try hostility.attack(bench)
    try bench.checkThatAllIsWell()
  }

  @Test func `A client that maps a file on a disk is logged with the option that allows it`() throws
  {
    let bench = try HostileBench()
    let peer = try bench.connect()
    let file = unsafe open("/proc/self/exe", O_RDONLY | O_CLOEXEC)
    let map = DMAMap(flags: .readable, address: 0, size: 4096)
    _ = try peer.ask(
      message(.dmaMap, bytes(of: map)), descriptors: DescriptorList(adopting: [file]))
    #expect(bench.log.lines.withLock { $0.contains { $0.contains("--memory-files any") } })
  }

  @Test func `The hostile clients cover every known defect of other servers`() {
    let aimed = Set(Self.all.compactMap(\.defect))
    #expect(aimed.union(Defect.ownProcess) == Set(Defect.allCases))
    #expect(Self.all.count >= 60)
  }

  @Test func `A hostile client leaves no memory, no descriptor and no thread in the server`() async
  {
    await #expect(processExitsWith: .success) { try checkThatNothingOfItStays() }
  }

  @Test func `Truncated control data leaks no descriptor and closes the connection`() async {
    await #expect(processExitsWith: .success) { try checkTruncatedControlData() }
  }

  @Test func `Received descriptors are marked close-on-exec`() async {
    await #expect(processExitsWith: .success) { try checkCloseOnExec() }
  }
}

private func checkThatNothingOfItStays() throws {
  let bench = try HostileBench()
  // The first round starts threads, grows buffers and fills caches; the later ones must find all of it
  // as they left it.
  try attackOnce(bench)
  let before = Footprint()
  for _ in 0..<2 { try attackOnce(bench) }
  // Sockets that linger are closed by threads of their own, at their leisure.
  let isBack = eventually(within: .seconds(60)) { Footprint().isNoLarger(than: before) }
  #expect(isBack, "before: \(before), after: \(Footprint())")
}

private func attackOnce(_ bench: HostileBench) throws {
  for hostility in `A hostile client`.all {
    do {
      try hostility.attack(bench)
    } catch {
      Issue.record(error, "the client \(hostility.testDescription)")
    }
  }
  try bench.checkThatAllIsWell()
  // The last client, and the device's work for it.
  let peer = try bench.connect()
  peer.socket.shutdown()
}

/// What a process has.
private struct Footprint: CustomStringConvertible {
  let descriptors = openDescriptors()
  let mappings = mappingsOfClients() + mappingsOfRegions()
  let threads = threadsNamed("server") + threadsNamed("vfio-user") + threadsNamed("unmask")
  let allocated = allocatedBytes() >> 10

  /// Whether nothing grew.
  ///
  /// What malloc has handed out is looked at, not what is resident: the arenas of threads that come and
  /// go keep megabytes of free memory. A leak in one of the attacks, most of which do it a hundred
  /// times, is more than what is allowed here.
  func isNoLarger(than other: Footprint) -> Bool {
    descriptors <= other.descriptors && mappings <= other.mappings && threads <= other.threads
      && allocated <= other.allocated + 512
  }

  var description: String {
    "\(descriptors) descriptors, \(mappings) mappings, \(threads) threads, \(allocated) KiB allocated"
  }
}

/// The process may have a few more descriptors, fewer than a message carries.
private func checkTruncatedControlData() throws {
  let bench = try HostileBench()
  let peer = try bench.connect()
  let before = openDescriptors()
  // The receiving side finds room for four: those of the message are behind, and soon closed here.
  let room = numberAfterFreeOnes(4)
  var descriptors = DescriptorList()
  for _ in 0..<16 { descriptors.append(try EventFD().descriptor.duplicate()) }
  var limit = rlimit()
  #expect(unsafe getrlimit(__rlimit_resource_t(7), &limit) == 0)
  let usual = limit.rlim_cur
  limit.rlim_cur = rlim_t(room)
  #expect(unsafe setrlimit(__rlimit_resource_t(7), &limit) == 0)
  peer.send(message(.deviceSetIRQs, words([20, 0x24, 2, 0, 16])), descriptors: descriptors)
  // Data without all of its descriptors cannot be trusted.
  try peer.expectClosing()
  limit.rlim_cur = usual
  #expect(unsafe setrlimit(__rlimit_resource_t(7), &limit) == 0)
  // The server's end of the connection is gone, and the eventfds are ours again.
  #expect(eventually { openDescriptors() <= before })
  try bench.checkThatAllIsWell()
}

/// The number behind the first few that are free.
private func numberAfterFreeOnes(_ count: Int) -> Int {
  let free = (0..<1024 as Range<Int32>).lazy.filter { fcntl($0, F_GETFD) < 0 }
  return Int(free.prefix(count).map { $0 }.last ?? 0) + 1
}

private func checkCloseOnExec() throws {
  let bench = try HostileBench()
  let inherited = (0..<1024 as Range<Int32>).filter { isInherited($0) }
  let peer = try bench.connect()
  let memory = try TruncatableMemory(size: 0x10000)
  try HostileBench.map(peer, memory)
  var descriptors = DescriptorList()
  for _ in 0..<16 { descriptors.append(try EventFD().descriptor.duplicate()) }
  let set = message(.deviceSetIRQs, words([20, 0x24, 2, 0, 16]))
  #expect(try peer.ask(set, descriptors: descriptors).errno == nil)
  var unmask = DescriptorList()
  unmask.append(try EventFD().descriptor.duplicate())
  let watch = message(.deviceSetIRQs, words([20, 0x14, 0, 0, 1]))
  #expect(try peer.ask(watch, descriptors: unmask).errno == nil)
  #expect((0..<1024 as Range<Int32>).filter { isInherited($0) } == inherited)
}

/// Whether a program that this process starts would have the descriptor.
private func isInherited(_ number: Int32) -> Bool {
  let flags = fcntl(number, F_GETFD)
  return flags >= 0 && flags & FD_CLOEXEC == 0
}
