import Glibc
import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserServer

private let files = __rlimit_resource_t(7)
private let addressSpace = __rlimit_resource_t(9)

private func set(_ resource: __rlimit_resource_t, _ limit: rlim_t) {
  var limit = rlimit(rlim_cur: limit, rlim_max: rlim_t.max)
  if unsafe setrlimit(resource, &limit) != 0 {
    limit.rlim_max = limit.rlim_cur
    #expect(unsafe setrlimit(resource, &limit) == 0)
  }
}

/// Each in a process of its own, which may have less than it wants.
@Suite(.timeLimit(.minutes(1))) struct `A server short of resources` {
  @Test(arguments: Driver.allCases)
  func `A server at the limit of descriptors in flight waits without spinning and then sends on`(
    _ driver: Driver
  ) async {
    await #expect(processExitsWith: .success) { [driver] in try answerWithTooMany(driver) }
  }

  @Test(arguments: Driver.allCases)
  func `A server at the limit of descriptors in flight disconnects a client that does not read`(
    _ driver: Driver
  ) async {
    await #expect(processExitsWith: .success) { [driver] in try answerWithTooMany(driver, for: 1) }
  }

  @Test func `A server short of address space refuses clients and serves again once there is some`()
    async
  {
    await #expect(processExitsWith: .success) { try serveWithoutMemory() }
  }

  @Test func `A server short of threads refuses work of the device and runs all accepted work`()
    async
  {
    await #expect(processExitsWith: .success) { try workWithoutThreads() }
  }

  @Test func `A client that maps until it is refused leaves address space for other clients`() async
  {
    await #expect(processExitsWith: .success) { try mapUntilRefused() }
  }
}

/// A client asks for a descriptor again and again and does not read the answers.
private func answerWithTooMany(_ driver: Driver, for seconds: Int = 30) throws {
  let client = try ServedClient(driver, CallbackDevice(isMappable: true)) {
    $0.messageTimeout = .seconds(seconds)
  }
  // A privileged process may have any number under way.
  #expect(becomeLoneUser())
  // With more inherited ones the client's socket is full before the limit is reached.
  try #require(openDescriptors() < 128)
  // As many may be under way as be open; those that could not be sent stay open.
  let limit = openDescriptors() + 30
  set(files, rlim_t(limit))
  let requests = limit + 12
  for number in 0..<requests as Range<Int> {
    let info = words([4096, 0, 2, 0]) + longs(0, 0)
    client.send(message(.deviceGetRegionInfo, id: UInt16(100 + number), info))
    _ = eventually(within: .milliseconds(3)) { false }
  }
  let before = clock()
  _ = eventually(within: .milliseconds(500)) { false }
  // Half a second of a busy loop would be as much of the processor.
  #expect(clock() - before < 300_000)
  guard seconds > 1 else {
    #expect(eventually { client.server.hasClient == false })
    return
  }
  for number in 0..<requests {
    let answer = try client.peer.receive()
    #expect(answer.header.id == UInt16(100 + number))
    #expect(answer.descriptorCount == 1)
  }
}

private func serveWithoutMemory() throws {
  let server = try RunningServer()
  let first = ScriptedPeer(try MessageSocket(connectingTo: server.path))
  #expect(try first.ask(ScriptedPeer.versionOfQEMU).errno == nil)
  let second = try MessageSocket(connectingTo: server.path)
  set(addressSpace, 1 << 20)
  // A read that needs memory is refused, or ends its own connection; not the process.
  let read = RegionAccess(offset: 0, region: .bar2, count: 0x8000)
  for _ in 0..<4 { first.send(message(.regionRead, bytes(of: read))) }
  _ = try? first.receive(within: .milliseconds(300))
  first.socket.shutdown()
  let early = ScriptedPeer(second)
  early.send(ScriptedPeer.versionOfQEMU)
  _ = eventually(within: .milliseconds(300)) { false }
  set(addressSpace, rlim_t.max)
  early.socket.shutdown()
  var answer: UInt32?? = nil
  let isServed = eventually {
    guard let socket = try? MessageSocket(connectingTo: server.path) else { return false }
    answer = try? ScriptedPeer(socket).ask(ScriptedPeer.versionOfQEMU).errno
    return answer == .some(nil)
  }
  #expect(isServed)
}

private func workWithoutThreads() throws {
  let worker = Worker()
  let done = Monitor(0)
  set(addressSpace, 1 << 20)
  var failures = 0
  for _ in 0..<3 {
    do throws(Errno) {
      try worker.add(inCallback: false) { done.update { $0 += 100 } }
    } catch {
      failures += 1
    }
  }
  set(addressSpace, rlim_t.max)
  #expect(failures == 3)
  try worker.add(inCallback: false) { done.update { $0 += 1 } }
  #expect(eventually { done.withLock { $0 == 1 } })
}

/// The limit is there before the first client, as `ulimit -v` is.
private func mapUntilRefused() throws {
  let used = UInt64(residentKilobytes()) << 10
  set(addressSpace, rlim_t((used + (64 << 30)) & ~0xFFF))
  let one = try ServedClient(.thread)
  let other = try ServedClient(.thread)
  let file = try TruncatableMemory(size: 1 << 30)
  var waitingClients: [UInt32?] = []
  for number in 0..<128 as Range<UInt64> {
    var descriptors = DescriptorList()
    descriptors.append(try file.lent())
    let map = ServedClient.map((1 << 40) + number << 30, 1 << 30, id: 5)
    let answer = try one.peer.ask(map, descriptors: descriptors)
    if answer.errno != nil { waitingClients.append(answer.errno) }
  }
  #expect(
    !waitingClients.isEmpty && waitingClients.allSatisfy { $0 == UInt32(Errno.noMemory.rawValue) })
  var descriptors = DescriptorList()
  descriptors.append(try file.lent())
  let map = ServedClient.map(1 << 40, 1 << 30, id: 6)
  #expect(try other.peer.ask(map, descriptors: descriptors).errno == nil)
  let third = try ServedClient(.thread)
  #expect(try third.peer.ask(ServedClient.read(id: 7)).errno == nil)
}
