public import VFIOUserTransport

extension DeviceServer {
  /// Runs ``run(on:)`` until the task is cancelled, which calls ``stop()``.
  ///
  /// The server runs on its own threads; the task is suspended and blocks no thread of the task pool.
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
