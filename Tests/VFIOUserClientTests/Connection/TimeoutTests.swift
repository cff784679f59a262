import Foundation
import Glibc
import Synchronization
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserClient

/// How often a signal has interrupted a wait; what a handler may touch.
private let interruptions = Atomic<Int>(0)

@Suite struct `A command's timeout` {
  @Test func `A command's timeout is that of the connection or its own`() throws {
    let client = try client(options(timeout: .milliseconds(40))) { server in
      for _ in 0..<3 {
        let request = try server.receive()
        if request.command == .deviceReset {
          _ = eventually(within: .milliseconds(80)) { false }
          server.answer(request)
        }
      }
      try server.serve()
    }
    #expect(throws: ClientError.timedOut(.regionRead)) {
      try client.load(.bar0, at: 0, as: UInt8.self)
    }
    #expect(throws: Never.self) { try client.reset(timeout: .seconds(10)) }
    let start = ContinuousClock.now
    #expect(throws: ClientError.timedOut(.deviceGetInfo)) { try client.deviceInfo() }
    #expect(ContinuousClock.now - start >= .milliseconds(40))
    #expect(client.failure == nil)
  }

  @Test func `A command's timeout may be zero or negative`() throws {
    let client = try client { server in
      while true {
        let request = try server.receive()
        if request.command != .deviceReset { server.answer(request) }
      }
    }
    #expect(throws: ClientError.timedOut(.deviceReset)) { try client.reset(timeout: .zero) }
    #expect(throws: ClientError.timedOut(.deviceReset)) { try client.reset(timeout: .seconds(-5)) }
    #expect(try client.deviceInfo().regionCount == 9)
  }

  @Test func `A command's timeout may be endless, whatever the connection's is`() async throws {
    let client = try client(options(timeout: .milliseconds(40))) { server in
      for _ in 0..<2 {
        let request = try server.receive()
        _ = eventually(within: .milliseconds(200)) { false }
        server.answer(request)
      }
      try server.serve()
    }
    let forever = Duration.seconds(Int64.max)
    let onThread = try Later {
      failure { () throws(ClientError) in try client.reset(timeout: forever) }
    }
    #expect(try onThread.get() == nil)
    #expect(await taskFailure { try await client.reset(timeout: forever) } == nil)
    #expect(Deadline.after(.forever) == .never)
  }

  /// As `cpulimit` does: the process is stopped and goes on, far more often than a receive waits at most.
  @Test func `A command times out although signals interrupt each wait`() async {
    await #expect(processExitsWith: .success) {
      let client = try client(options(timeout: .milliseconds(1500))) { server in
        while true { _ = try server.receive() }
      }
      let caller = Monitor<pthread_t?>(nil)
      let outcome = Monitor<(error: ClientError?, time: Duration)?>(nil)
      signal(SIGUSR1) { _ in interruptions.add(1, ordering: .relaxed) }
      // Threads of ours have signals blocked, and those of the test's; callers of the client are anybody's.
      let thread = Thread {
        var signals = sigset_t()
        _ = unsafe sigemptyset(&signals)
        _ = unsafe sigaddset(&signals, SIGUSR1)
        _ = unsafe pthread_sigmask(SIG_UNBLOCK, &signals, nil)
        caller.update { $0 = pthread_self() }
        let start = ContinuousClock.now
        let error = failure { () throws(ClientError) in try client.reset() }
        outcome.update { $0 = (error, ContinuousClock.now - start) }
      }
      thread.start()
      let target = caller.withLock(when: { $0 != nil }) { $0 } ?? nil
      let isDone = eventually(within: .seconds(8)) {
        if let target, outcome.withLock({ $0 == nil }) { pthread_kill(target, SIGUSR1) }
        return outcome.withLock { $0 != nil }
      }
      #expect(isDone)
      #expect(outcome.withLock { $0?.error } == .timedOut(.deviceReset))
      #expect(outcome.withLock { $0?.time ?? .seconds(9) } < .seconds(4))
      // Several in each slice of time that a receive waits.
      #expect(interruptions.load(ordering: .relaxed) > 100)
    }
  }

  @Test func `A command of a task times out`() async throws {
    let client = try client { server in
      _ = try server.receive()
      try server.serve()
    }
    let failure = await taskFailure { try await client.reset(timeout: .milliseconds(20)) }
    #expect(failure == .timedOut(.deviceReset))
    #expect(try await client.interruptInfo(.msix).count == 4)
  }

  @Test func `A command of a task times out while a thread reads the socket`() async throws {
    let gate = Gate()
    let client = try client(options(timeout: .seconds(60))) { server in
      let first = try server.receive()
      _ = try server.receive()
      gate.wait()
      server.answer(first)
      try server.serve()
    }
    let reading = try Later { try? client.load(.bar0, at: 3, as: UInt8.self) }
    let state = client.supervisor.last.connection.state
    #expect(eventually { state.withLock { $0.reader.isTaken } })
    let failure = await taskFailure { try await client.reset(timeout: .milliseconds(20)) }
    #expect(failure == .timedOut(.deviceReset))
    #expect(!reading.isDone)
    gate.open()
    #expect(try reading.get() == expected(at: 3, as: UInt8.self))
  }

  @Test func `A command of a task times out although an earlier call has a longer timeout`()
    async throws
  {
    let client = try client(options(timeout: .seconds(60))) { server in
      var requests: [ScriptedServer.Message] = []
      while requests.count < 2 { requests.append(try server.receive()) }
      let third = try server.receive()
      for request in requests { server.answer(request) }
      server.answer(third)
      try server.serve()
    }
    async let slow = client.deviceInfo().regionCount
    let failure = await taskFailure { try await client.reset(timeout: .milliseconds(20)) }
    #expect(failure == .timedOut(.deviceReset))
    _ = try await client.interruptInfo(.msix)
    #expect(try await slow == 9)
  }
}

@Suite struct `A task that is cancelled` {
  @Test func `A cancelled task stops waiting, and its late reply is discarded`() async throws {
    let asked = Gate()
    let cancelled = Gate()
    let client = try client(options(timeout: .seconds(60))) { server in
      let request = try server.receive()
      asked.open()
      cancelled.wait()
      server.answer(request)
      try server.serve()
    }
    let task = Task { await taskFailure { try await client.deviceInfo() } }
    try await asked.opened()
    task.cancel()
    #expect(await task.value == .cancelled)
    let state = client.supervisor.last.connection.state
    #expect(state.withLock { $0.calls.abandonedCount } == 1)
    #expect(state.withLock { $0.background.users } == 0)
    cancelled.open()
    #expect(try await client.deviceInfo().regionCount == 9)
    #expect(state.withLock { $0.calls.abandonedCount } == 0)
  }

  @Test func `A task that is cancelled before its call sends nothing`() async throws {
    let commands = Notes<Command>()
    let client = try client { server in
      while true {
        let request = try server.receive()
        commands.add(request.command)
        server.answer(request)
      }
    }
    let task = Task {
      try? await Task.sleep(for: .seconds(60))
      return await taskFailure { try await client.reset() }
    }
    task.cancel()
    #expect(await task.value == .cancelled)
    #expect(try await client.deviceInfo().regionCount == 9)
    #expect(commands.all == [.deviceGetInfo])
  }
}
