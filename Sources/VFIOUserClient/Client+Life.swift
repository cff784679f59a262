public import SystemPackage
internal import VFIOUserTransport

/// The beginning and the end of a client, for tasks; a thread of its own waits meanwhile.
extension Client {
  /// Connects to the device at `path` and agrees on version and capabilities, without holding a thread of
  /// the task pool; see ``init(connectingTo:options:)``.
  public static func connect(
    to path: FilePath, options: ClientOptions = ClientOptions()
  ) async throws(ClientError) -> Client {
    let outcome = await elsewhere { () -> Result<Client, ClientError> in
      do throws(ClientError) {
        return .success(try Client(connectingTo: path, options: options))
      } catch {
        return .failure(error)
      }
    }
    switch outcome {
    case .success(let result): return try result.get()
    case .failure(let failure): throw .system(failure)
    }
  }

  /// Ends the connection, without holding a thread of the task pool; see ``disconnect()``.
  public func close() async {
    let outcome = await Self.elsewhere { self.disconnect() }
    // No thread to be had; then this one has to wait.
    if case .failure = outcome { disconnect() }
  }

  private static func elsewhere<Value: Sendable>(
    _ body: @escaping @Sendable () -> Value
  ) async -> Result<Value, SystemFailure> {
    await withCheckedContinuation { continuation in
      do throws(SystemFailure) {
        try DetachedThread.start("vfio-user-life") {
          continuation.resume(returning: .success(body()))
        }
      } catch {
        continuation.resume(returning: .failure(error))
      }
    }
  }
}
