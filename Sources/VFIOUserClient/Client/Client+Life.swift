internal import LinuxPrimitives
public import SystemPackage

/// Connecting and disconnecting for tasks; a separate thread waits meanwhile.
extension Client {
  /// Connects to the device at `path` and negotiates version and capabilities while the task is suspended;
  /// see ``init(connectingTo:options:)``.
  ///
  /// - Throws: also ``ClientError/cancelled`` immediately if the task is cancelled; a connection that the
  ///   device accepts after that is closed.
  public static func connect(
    to path: FilePath, options: ClientOptions = ClientOptions()
  ) async throws(ClientError) -> Client {
    let waiter = ConnectingTask()
    let outcome = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        guard waiter.begin(continuation) else { return }
        do throws(SystemCallError) {
          try DetachedThread.start("vfio-user-end") {
            do throws(ClientError) {
              waiter.resume(.success(try Client(connectingTo: path, options: options)))
            } catch {
              waiter.resume(.failure(error))
            }
          }
        } catch {
          waiter.resume(.failure(.system(error)))
        }
      }
    } onCancel: {
      waiter.resume(.failure(.cancelled))
    }
    return try outcome.get()
  }

  /// Ends the connection while the task is suspended; see ``disconnect()``.
  public func close() async {
    let outcome = await Self.elsewhere { self.disconnect() }
    // If no thread can be started, the calling one has to wait.
    if case .failure = outcome { disconnect() }
  }

  private static func elsewhere<Value: Sendable>(
    _ body: @escaping @Sendable () -> Value
  ) async -> Result<Value, SystemCallError> {
    await withCheckedContinuation { continuation in
      do throws(SystemCallError) {
        try DetachedThread.start("vfio-user-end") {
          continuation.resume(returning: .success(body()))
        }
      } catch {
        continuation.resume(returning: .failure(error))
      }
    }
  }
}

/// Reconnection, on one thread of the client.
extension Client {
  /// Starts to watch the connection.
  func watch(_ policy: ReconnectionPolicy) throws(ClientError) {
    let identity = try DeviceIdentity(supervisor.last.connection, before: .never)
    let reconnector = Reconnector(
      supervisor: supervisor, factory: factory, events: events, policy: policy, identity: identity)
    try reconnector.watch(supervisor.last.connection)
    do throws(SystemCallError) {
      try supervisor.watch { reconnector.run() }
    } catch {
      throw .system(error)
    }
  }
}

/// A task that waits for a connect or disconnect to end, or for its cancellation.
private final class ConnectingTask: Sendable {
  typealias Outcome = Result<Client, ClientError>

  private struct State {
    var continuation: CheckedContinuation<Outcome, Never>?
    var isOver = false
  }

  private let state = Monitor(State())

  /// Begins to wait.
  ///
  /// - Returns: false if the task was cancelled before; then it is not suspended.
  func begin(_ continuation: CheckedContinuation<Outcome, Never>) -> Bool {
    let begins = state.withLock { state in
      if !state.isOver { state.continuation = continuation }
      return !state.isOver
    }
    if !begins { continuation.resume(returning: .failure(.cancelled)) }
    return begins
  }

  /// Resumes the task; later calls do nothing.
  func resume(_ outcome: Outcome) {
    let continuation = state.withLock { state in
      state.isOver = true
      return state.continuation.take()
    }
    continuation?.resume(returning: outcome)
  }
}
