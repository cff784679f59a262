public import VFIOUserTransport

extension DeviceServer {
  /// Does what ``run(on:)`` does, for as long as the task lives: cancelling it is ``stop()``.
  ///
  /// The server runs on threads of its own; the task only waits for them, and holds up no other.
  public func serveClients(on listener: ListeningSocket) async throws {
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation {
        (continuation: CheckedContinuation<Void, any Error>) in
        do {
          try DetachedThread.start("vfio-user-run") {
            continuation.resume(with: Result { try self.run(on: listener) })
          }
        } catch {
          continuation.resume(throwing: error)
        }
      }
    } onCancel: {
      stop()
    }
  }
}
