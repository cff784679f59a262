internal import LinuxPrimitives

/// Async calls: no thread waits, the background reader resumes the task.
extension Connection {
  /// Sends a command and suspends until its reply has come.
  ///
  /// - Throws: as ``call(_:payload:descriptors:before:into:fill:)``, and ``ClientError/cancelled`` if the
  ///   task is cancelled, in which case the late reply is discarded.
  func callAsync(
    _ request: AsyncRequest, before deadline: Deadline?
  ) async throws(ClientError) -> AsyncReply {
    let ticket = AsyncTicket()
    let due = deadline ?? usualDeadline
    let outcome = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        start(request, AsyncCall(continuation, limit: request.limit, due), ticket)
      }
    } onCancel: {
      cancel(ticket)
    }
    return try seen(outcome).get()
  }

  private func start(
    _ request: AsyncRequest, _ pending: AsyncCall, _ ticket: AsyncTicket
  ) {
    let refusal: ClientError? = state.update { state in
      guard !ticket.isCancelled else { return .cancelled }
      do throws(ClientError) {
        let call = try begin(&state, request.command, .async(pending))
        call.descriptorLimit = request.descriptorLimit
        do throws(ClientError) {
          try suspend(&state, pending, call, ticket)
        } catch {
          state.calls.answered(call)
          state.calls.release(call)
          throw error
        }
        let header = Header(id: call.id, command: request.command, size: 0)
        let carried = request.descriptors?.take() ?? DescriptorList()
        enqueue(&state, header, request.payload.count, carried) { $0.copy(request.payload.span) }
        return nil
      } catch {
        return error
      }
    }
    if let refusal { pending.take()?.resume(returning: .failure(refusal)) }
    // The background reader must see a deadline that is earlier than its present one.
    watch.wake()
  }

  /// Hands the call to the background reader, which ends it.
  private func suspend(
    _ state: inout State, _ pending: AsyncCall, _ call: CallHandle, _ ticket: AsyncTicket
  ) throws(ClientError) {
    state.calls.add(pending, call)
    do throws(ClientError) {
      try addBackgroundUser(&state)
    } catch {
      _ = state.calls.remove(pending)
      throw error
    }
    ticket.call = pending
  }

  /// The outcome with which a task was resumed, read under the lock under which it was written.
  ///
  /// A task that is resumed before it is suspended continues directly. That is correct, but the thread
  /// sanitizer does not see the runtime's synchronisation; it sees the lock.
  private func seen(_ outcome: AsyncCall.Outcome) -> AsyncCall.Outcome {
    state.withLock { _ in outcome }
  }

  private func cancel(_ ticket: AsyncTicket) {
    let continuation: CheckedContinuation<AsyncCall.Outcome, Never>? = state.update { state in
      ticket.isCancelled = true
      guard let pending = ticket.call, let call = state.calls.call(of: pending) else { return nil }
      drop(&state, pending, call)
      return pending.take()
    }
    continuation?.resume(returning: .failure(.cancelled))
  }

  /// Gives up a call.
  ///
  /// - Returns: the command that was given up, or one of those of the fence.
  @discardableResult
  func drop(_ state: inout State, _ pending: AsyncCall, _ call: CallHandle) -> Command {
    let command = call.command
    state.forget(pending)
    guard let group = pending.group else {
      abandon(&state, call)
      return command
    }
    group.waiter = nil
    state.calls.release(call)
    return abandonAll(&state, of: group) ?? command
  }
}

extension Connection {
  /// Suspends until every command of the group has its reply.
  ///
  /// - Throws: the first error of the replies; ``ClientError/cancelled``, which gives up the commands without
  ///   a reply.
  func fence(_ group: FenceGroup, before deadline: Deadline?) async throws(ClientError) {
    let ticket = AsyncTicket()
    let due = deadline ?? usualDeadline
    let outcome = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        wait(AsyncCall(continuation, limit: 0, due, at: group), group, ticket)
      }
    } onCancel: {
      cancel(ticket)
    }
    _ = try seen(outcome).get()
    if let failure = state.withLock({ _ in group.failure }) { throw failure }
  }

  private func wait(_ pending: AsyncCall, _ group: FenceGroup, _ ticket: AsyncTicket) {
    let outcome: AsyncCall.Outcome? = state.update { state in
      guard !ticket.isCancelled else {
        abandonAll(&state, of: group)
        return .failure(.cancelled)
      }
      guard group.outstanding > 0 else { return .success(.nothing) }
      let call = state.calls.beginWithoutID(.async(pending))
      do throws(ClientError) {
        try suspend(&state, pending, call, ticket)
      } catch {
        state.calls.release(call)
        abandonAll(&state, of: group)
        return .failure(error)
      }
      group.waiter = call
      return nil
    }
    if let outcome { pending.take()?.resume(returning: outcome) }
    watch.wake()
  }
}

/// A command of a task.
struct AsyncRequest: Sendable {
  let command: Command
  let payload: [UInt8]
  let descriptors: CarriedDescriptors?
  /// Maximum size of the reply's payload in bytes.
  let limit: Int
  /// Maximum number of descriptors of the reply.
  let descriptorLimit: Int
}

/// Connects the cancellation of a task with its call.
///
/// Used under the connection's lock only.
final class AsyncTicket: @unchecked Sendable {
  var isCancelled = false
  var call: AsyncCall?
}
