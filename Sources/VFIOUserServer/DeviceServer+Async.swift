internal import LinuxPrimitives

extension DeviceServer {
  /// Runs ``run(on:)`` until the task is cancelled, which calls ``stop()``.
  ///
  /// The server runs on its own threads; the task is suspended and blocks no thread of the task pool.
  ///
  /// - Throws: if no thread is available, or if waiting for clients fails.
  public func serveClients(on listener: ListeningSocket) async throws(SystemCallError) {
    let result = await withTaskCancellationHandler {
      await withCheckedContinuation {
        (continuation: CheckedContinuation<Result<Void, SystemCallError>, Never>) in
        do throws(SystemCallError) {
          try DetachedThread.start("vfio-user-run") {
            continuation.resume(
              returning: Result { () throws(SystemCallError) in try self.run(on: listener) })
          }
        } catch {
          continuation.resume(returning: .failure(error))
        }
      }
    } onCancel: {
      stop()
    }
    try result.get()
  }
}
