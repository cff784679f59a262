internal import LinuxPrimitives
internal import KernelRing

/// The engine that leaves the waiting to the kernel: io_uring, straight between file and client memory.
///
/// With direct I/O it keeps as many requests under way as the guest has given, where a pool has one for each of
/// its threads. What a ring cannot do (windows without a descriptor, buffers that are not aligned, holes),
/// everything that it did not do completely, and what the kernel has no memory for at the moment, goes to a
/// ``ThreadPool``; so a request never depends on the ring alone. Only a flush or a durable write that has failed
/// is not tried again.
///
/// The controller's thread fills the ring and submits once per batch; a thread of the engine sleeps until
/// something is done, and hands back whatever is done by then.
final class RingEngine: StorageEngine {
  private let requests: RingRequests
  private let pool: ThreadPool
  private let isDirectOnly: Bool

  /// Makes a ring, and a pool for what it cannot do.
  ///
  /// - Parameters:
  ///   - entries: requests under way in the ring, 1 to 4096; more than those go to the pool.
  ///   - threads: threads of the pool, at least 1.
  ///   - name: what a new version of the program takes the ring over by.
  ///   - isDirectOnly: whether files in the page cache are left to the pool, which is as fast for them.
  /// - Throws: `RingError.unavailable` where this process may not have a ring.
  init(
    entries: Int = 256, threads: Int = 2, isDirectOnly: Bool = false, keptAs name: String? = nil
  ) throws(RingError) {
    let ring = try Ring(entries: entries, keptAs: name)
    do throws(SystemCallError) {
      let pool = try ThreadPool(threads: threads)
      let requests = try RingRequests(ring, EventFD(), pool)
      self.pool = pool
      self.requests = requests
      self.isDirectOnly = isDirectOnly
    } catch {
      throw .system(error)
    }
    try requests.watch()
    do throws(SystemCallError) {
      try DetachedThread.start("nvme-ring") { [requests] in requests.reap() }
    } catch {
      throw .system(error)
    }
  }

  deinit { close() }

  /// Queues a request; the kernel sees it with the next ``flush()``.
  func submit(_ request: StorageRequest) {
    if isDirectOnly, request.storage.cache != .direct { return pool.submit(request) }
    guard requests.queue(request) else { return pool.submit(request) }
  }

  /// Hands what was queued to the kernel, in one system call.
  func flush() { requests.submit() }

  /// Takes a request back that has not begun; what the ring has cannot be taken back.
  func cancel(_ request: StorageRequest) -> Bool { pool.cancel(request) }

  /// Ends the threads when everything has come back; nothing may be submitted any more.
  func close() { requests.close() }
}
