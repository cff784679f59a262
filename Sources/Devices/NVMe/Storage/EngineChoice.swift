internal import KernelRing
internal import Logging

/// How a disk reads and writes its files.
public enum EngineChoice: String, CaseIterable, Sendable {
  /// The ring where it pays, which is direct I/O, and where there is one; else the pool.
  case automatic = "auto"
  /// Threads that wait in `preadv` and `pwritev`.
  case pool
  /// io_uring, where there is one; else the pool.
  case ring
}

extension NVMeConfiguration {
  /// Chooses the engine; call it when the namespaces are known.
  ///
  /// Where the ring is chosen and this process may not have one (`EPERM`, as in most containers, or `ENOSYS`),
  /// the pool does the work, and the log says so.
  public mutating func use(_ choice: EngineChoice) {
    let isDirect = namespaces.contains { $0.file.cache == .direct }
    guard choice == .ring || choice == .automatic && isDirect else {
      makeEngine = nil
      return
    }
    let (threads, logger) = (threads, logger)
    makeEngine = {
      do throws(RingError) {
        return try RingEngine(threads: max(1, threads / 2))
      } catch {
        let level: Logger.Level = choice == .ring ? .warning : .info
        logger.log(
          level: level, "the thread pool serves instead of a ring", metadata: ["reason": "\(error)"]
        )
        return try ThreadPool(threads: threads)
      }
    }
  }
}
