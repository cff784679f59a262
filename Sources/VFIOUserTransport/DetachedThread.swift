internal import CLinux

/// Starting a thread of our own: all signals blocked in it, so that the main thread gets them.
package enum DetachedThread {
  /// Runs `body` on a new thread.
  ///
  /// - Parameters:
  ///   - name: what debuggers and `top -H` show, at most 15 bytes of it.
  ///   - body: what runs; the thread ends with it.
  /// - Throws: `EAGAIN` when the process may have no more threads.
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

  /// Has the calling thread woken when its time has come, and not up to 50 microseconds later.
  package static func wakeOnTime() { clinux_thread_wake_on_time() }

  private final class Body: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }

  // Sound: the pointer is the one that `start` retained, and it is taken over exactly once.
  private static let runBody: clinux_thread_body = { context in
    guard let context = unsafe context else { return }
    unsafe Unmanaged<Body>.fromOpaque(context).takeRetainedValue().run()
  }
}
