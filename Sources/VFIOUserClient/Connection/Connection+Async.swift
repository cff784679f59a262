internal import CLinux
internal import VFIOUserProtocol
internal import VFIOUserTransport

/// Calls of tasks: no thread waits, the background reader resumes the task.
extension Connection {
  /// Sends a command and suspends until its reply has come.
  ///
  /// - Throws: as ``call(_:payload:descriptors:timeout:into:fill:)``, and ``ClientError/cancelled``
  ///   when the task is cancelled, in which case the late reply is swallowed.
  func callAsync(
    _ request: AsyncRequest, timeout: Duration?
  ) async throws(ClientError) -> AsyncReply {
    let ticket = AsyncTicket()
    let deadline = deadline(timeout)
    let outcome = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        start(request, AsyncCall(continuation, limit: request.limit, deadline), ticket)
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
        let index = try begin(&state, request.command, .async(pending))
        let call = unsafe state.calls.call(index)
        unsafe call.pointee.descriptorLimit = request.descriptorLimit
        do throws(ClientError) {
          try suspend(&state, pending, index, ticket)
        } catch {
          state.calls.answered(index)
          state.calls.release(index)
          throw error
        }
        let header = Header(
          id: unsafe call.pointee.id, command: request.command, size: 0)
        let carried = request.descriptors?.take() ?? DescriptorList()
        enqueue(&state, header, request.payload.count, carried) { $0.store(request.payload) }
        return nil
      } catch {
        return error
      }
    }
    if let refusal { pending.take()?.resume(returning: .failure(refusal)) }
    // A shorter deadline than the one that the background waits for must be seen.
    wake.signal()
  }

  /// From now on the background reader ends the call.
  ///
  /// Called under the lock.
  private func suspend(
    _ state: inout State, _ pending: AsyncCall, _ index: Int32, _ ticket: AsyncTicket
  ) throws(ClientError) {
    state.asyncCalls[ObjectIdentifier(pending)] = index
    do throws(ClientError) {
      try addBackgroundUser(&state)
    } catch {
      state.asyncCalls.removeValue(forKey: ObjectIdentifier(pending))
      throw error
    }
    ticket.call = pending
  }

  /// What a task was resumed with, taken over under the lock under which it was made.
  ///
  /// A task that is resumed before it is suspended goes straight on. That is in order, but the thread
  /// sanitizer does not see the runtime's hand-over; the lock it sees.
  private func seen(_ outcome: AsyncCall.Outcome) -> AsyncCall.Outcome {
    state.withLock { _ in outcome }
  }

  private func cancel(_ ticket: AsyncTicket) {
    let continuation: CheckedContinuation<AsyncCall.Outcome, Never>? = state.update { state in
      ticket.isCancelled = true
      guard let pending = ticket.call,
        let index = state.asyncCalls[ObjectIdentifier(pending)]
      else { return nil }
      drop(&state, pending, index)
      return pending.take()
    }
    continuation?.resume(returning: .failure(.cancelled))
  }

  /// Nobody waits for a call any longer.
  ///
  /// Called under the lock.
  ///
  /// - Returns: the command that is given up, or one of those at the fence.
  @discardableResult
  func drop(_ state: inout State, _ pending: AsyncCall, _ index: Int32) -> Command {
    let command = unsafe state.calls.call(index).pointee.command
    state.forget(pending, index)
    guard let group = pending.group else {
      abandon(&state, index)
      return command
    }
    group.waiter = nil
    state.calls.release(index)
    return abandonAll(&state, of: group) ?? command
  }
}

extension Connection {
  /// Suspends until every command of the group is answered.
  ///
  /// - Throws: the first failure among the answers; ``ClientError/cancelled``, which gives up what is
  ///   still out.
  func fence(_ group: FenceGroup, timeout: Duration?) async throws(ClientError) {
    let ticket = AsyncTicket()
    let deadline = deadline(timeout)
    let outcome = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        wait(AsyncCall(continuation, limit: 0, deadline, at: group), group, ticket)
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
      let index = state.calls.beginWithoutID()
      unsafe state.calls.call(index).pointee.kind = .async(pending)
      do throws(ClientError) {
        try suspend(&state, pending, index, ticket)
      } catch {
        state.calls.release(index)
        abandonAll(&state, of: group)
        return .failure(error)
      }
      group.waiter = index
      return nil
    }
    if let outcome { pending.take()?.resume(returning: outcome) }
    wake.signal()
  }

  /// A reply that a fence counts: the last one wakes the thread or the task that waits there.
  ///
  /// Called under the lock.
  func reached(_ state: inout State, _ group: FenceGroup) {
    guard let waiter = group.waiter else { return }
    group.waiter = nil
    guard case .async(let pending) = unsafe state.calls.call(waiter).pointee.kind else {
      return complete(&state, waiter)
    }
    state.forget(pending, waiter)
    state.calls.release(waiter)
    pending.take()?.resume(returning: .success(.nothing))
  }
}

/// A command that a task sends.
struct AsyncRequest: Sendable {
  let command: Command
  let payload: [UInt8]
  let descriptors: CarriedDescriptors?
  /// Most bytes that the reply's payload may have.
  let limit: Int
  /// Most descriptors that the reply may bring.
  let descriptorLimit: Int
}

extension MutableRawSpan {
  /// Writes bytes from the start.
  mutating func store(_ bytes: [UInt8]) {
    for place in bytes.indices { storeBytes(of: bytes[place], toByteOffset: place, as: UInt8.self) }
  }
}

/// Ties the cancellation of a task to its call.
///
/// Touched under the connection's lock only.
final class AsyncTicket: @unchecked Sendable {
  var isCancelled = false
  var call: AsyncCall?
}
