import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserClient

/// Nobody may resume a task while he holds the connection's lock.
///
/// Who cancels a task holds the lock of its status while the cancellation handler waits for the connection's
/// lock; resuming the task takes the lock of its status.
@Suite(.timeLimit(.minutes(2))) struct `A task that is cancelled while its wait ends` {
  /// What ends the wait of a task, under the connection's lock.
  enum End: CaseIterable {
    case lastReplyOfFence, timeOut, loss

    func happen(on connection: Connection, _ state: inout Connection.State, _ group: FenceGroup) {
      switch self {
      case .lastReplyOfFence: connection.count(&state, group, nil)
      case .timeOut:
        for call in state.calls.tasks {
          if case .async(let pending) = call.kind { pending.deadline = .after(.zero) }
        }
        connection.expireAsyncCalls(&state)
      case .loss: connection.lose(&state, .closedByUs)
      }
    }
  }

  @Test(arguments: End.allCases)
  func `A cancelled task at a fence does not hold up who ends its wait`(
    _ end: End
  ) async throws {
    let client = try silentClient()
    let connection = client.supervisor.last.connection
    let group = FenceGroup()
    group.outstanding = 1
    let task = Task { try? await connection.fence(group, before: .never) }
    #expect(eventually { connection.state.withLock { _ in group.waiter != nil } })
    try #require(try cancel(task, during: end, on: connection, group))
    _ = await task.value
  }

  @Test(arguments: [End.timeOut, .loss])
  func `A cancelled task with a command does not hold up who ends its wait`(
    _ end: End
  ) async throws {
    let client = try silentClient()
    let connection = client.supervisor.last.connection
    let task = Task { _ = try? await client.deviceInfo() }
    #expect(eventually { connection.state.withLock { $0.calls.hasTasks } })
    try #require(try cancel(task, during: end, on: connection, FenceGroup()))
    await task.value
  }

  @Test func `A cancelled task without a connection does not hold up who resumes it`()
    async throws
  {
    let waiting = Monitor(WaitingTasks())
    let isCancelling = Gate()
    let mayGo = Gate()
    let task = Task {
      await withTaskCancellationHandler {
        await withCheckedContinuation { continuation in
          waiting.update { waiting in
            let ticket = waiting.arrive()
            let waits = waiting.wait(ticket, continuation)
            #expect(waits)
          }
        }
      } onCancel: {
        isCancelling.open()
        mayGo.wait()
      }
    }
    #expect(
      waiting.withLock(when: { $0.count == 1 }, before: .after(.seconds(10))) { _ in true } == true)
    let cancellation = try Later { task.cancel() }
    #expect(isCancelling.wait())
    let isOver = Monitor(false)
    try DetachedThread.start("resume") {
      waiting.withLock { waiting in waiting.resumeAll() }
      isOver.update { $0 = true }
    }
    let ended = isOver.withLock(when: { $0 }, before: .after(.seconds(10))) { $0 }
    mayGo.open()
    #expect(ended == true)
    try cancellation.get()
    await task.value
  }

  /// A client whose server answers nothing.
  private func silentClient() throws -> Client {
    try client(options(timeout: .seconds(60))) { server in
      while true { _ = try server.receive() }
    }
  }

  /// Lets something happen under the connection's lock while the cancellation of a task waits for it.
  ///
  /// - Returns: whether it was over within ten seconds.
  private func cancel<Value: Sendable>(
    _ task: Task<Value, Never>, during end: End, on connection: Connection, _ group: FenceGroup
  ) throws -> Bool {
    let isOver = Monitor(false)
    try DetachedThread.start("end") {
      connection.state.update { state in
        _ = try? Later { task.cancel() }
        #expect(eventually { task.isCancelled })
        // The mark is set first; then the handler comes to the lock that is held here.
        _ = eventually(within: .milliseconds(50)) { false }
        end.happen(on: connection, &state, group)
      }
      isOver.update { $0 = true }
    }
    return isOver.withLock(when: { $0 }, before: .after(.seconds(10))) { $0 } ?? false
  }
}
