internal import LinuxPrimitives

extension DeviceServer {
  /// Does what ``run(on:)`` does, for as long as the task lives: cancelling it is ``stop()``.
  ///
  /// The server runs on threads of its own; the task only waits for them, and holds up no other.
  ///
  /// - Throws: when there is no thread to be had, or waiting for clients fails.
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
