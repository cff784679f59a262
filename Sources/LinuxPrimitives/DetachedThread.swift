internal import CLinux

/// Starts detached threads, which block all signals but faults: signals go to the main thread.
package enum DetachedThread {
  /// Runs `body` on a new thread.
  ///
  /// - Parameters:
  ///   - name: the thread name shown by debuggers and `top -H`; only the first 15 bytes are used.
  ///   - body: the code to run; the thread ends when it returns.
  /// - Throws: `EAGAIN` if the process cannot create another thread.
  package static func start(
    _ name: String, _ body: @escaping @Sendable () -> Void
  ) throws(SystemCallError) {
    let box = unsafe Unmanaged.passRetained(Body(body))
    let result = unsafe clinux_thread_start(
      String(name.utf8.prefix(15).map { Character(UnicodeScalar($0)) }), runBody, box.toOpaque())
    if result < 0 {
      unsafe box.release()
      _ = try checked("pthread_create", result)
    }
  }

  /// Removes the timer slack of the calling thread, so that a timeout is not up to 50 microseconds
  /// late.
  package static func wakeOnTime() { clinux_thread_wake_on_time() }

  private final class Body: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }

  // Sound: the pointer is the one retained by `start`, and ownership is taken exactly once.
  private static let runBody: clinux_thread_body = { context in
    guard let context = unsafe context else { return }
    unsafe Unmanaged<Body>.fromOpaque(context).takeRetainedValue().run()
  }
}
