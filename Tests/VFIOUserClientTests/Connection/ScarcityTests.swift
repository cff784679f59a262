import Glibc
import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserClient

/// Each in a process of its own, which may have less than it wants.
@Suite(.timeLimit(.minutes(1))) struct `A process with scarce resources` {
  @Test func `A client with too many descriptors in flight sends on when they were received`() async
  {
    await #expect(processExitsWith: .success) { try sendWithTooManyDescriptors() }
  }

  @Test func `A task's call fails with EAGAIN when no thread can be started`() async {
    await #expect(processExitsWith: .success) { try await callWithoutThreads() }
  }
}

/// A privileged process may have any number under way.
private func sendWithTooManyDescriptors() throws {
  let (atOnce, more) = (48, 8)
  let mayRead = Gate()
  let seen = Notes<Int>()
  let client = try client(options(timeout: .seconds(30))) { server in
    mayRead.wait()
    for _ in 0..<atOnce + more {
      let message = try server.receive()
      seen.add(message.descriptorCount)
      server.answer(message)
    }
    try server.serve()
  }
  let connection = client.supervisor.last.connection
  let group = FenceGroup()
  #expect(becomeLoneUser())
  var limit = rlimit(rlim_cur: rlim_t(atOnce - 1), rlim_max: rlim_t(atOnce - 1))
  #expect(unsafe setrlimit(__rlimit_resource_t(7), &limit) == 0)
  for _ in 0..<atOnce + more {
    try connection.send(.dmaMap, payload: 32, descriptors: descriptors(1), in: group) { _ in }
  }
  #expect(connection.state.withLock { !$0.sending.isEmpty && $0.failure == nil })
  mayRead.open()
  #expect(failure { () throws(ClientError) in try connection.fence(group) } == nil)
  #expect(seen.all == Array(repeating: 1, count: atOnce + more))
}

private func callWithoutThreads() async throws {
  let client = try client { try $0.serve() }
  // What a task needs to be resumed is there by then.
  _ = try await client.deviceInfo()
  let another = try VFIOUserClientTests.client { try $0.serve() }
  // No room for the stack of another thread.
  var limit = rlimit(rlim_cur: 1 << 20, rlim_max: rlim_t.max)
  #expect(unsafe setrlimit(__rlimit_resource_t(9), &limit) == 0)
  var outcome: ClientError?
  do throws(ClientError) {
    _ = try await another.deviceInfo()
  } catch {
    outcome = error
  }
  limit.rlim_cur = rlim_t.max
  #expect(unsafe setrlimit(__rlimit_resource_t(9), &limit) == 0)
  guard case .system(let failure) = outcome?.reason else {
    Issue.record("\(String(describing: outcome))")
    return
  }
  #expect(failure.code == .resourceTemporarilyUnavailable)
  // And nothing of it is left in the way.
  #expect(another.supervisor.last.connection.state.withLock { $0.calls.inFlight == 0 })
  #expect(try await another.deviceInfo().regionCount == 9)
}
