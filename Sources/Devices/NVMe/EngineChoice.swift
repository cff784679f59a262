internal import KernelRing
internal import Logging

/// How a disk reads and writes its files.
@nonexhaustive
public enum EngineChoice: String, CaseIterable, Sendable {
  /// The ring for files with direct I/O, where it pays and where there is one; else the pool.
  case automatic = "auto"
  /// Threads that wait in `preadv` and `pwritev`.
  case pool
  /// io_uring for all files, where there is one; else the pool.
  case ring
}

extension NVMeConfiguration {
  /// Chooses the engine; call it when namespaces, threads, the logger and the name of the reader are set.
  ///
  /// Where the ring is chosen and this process may not have one (`EPERM`, as in most containers, `ENOSYS`, or a
  /// limit), the pool does the work, and the log says so once.
  public mutating func use(_ choice: EngineChoice) {
    let isDirect = namespaces.contains { $0.storage.kind != .export && $0.storage.cache == .direct }
    guard choice == .ring || choice == .automatic && isDirect else {
      makeEngine = nil
      return
    }
    let (threads, logger, name) = (threads, logger, readerName)
    makeEngine = {
      do throws(RingError) {
        return try RingEngine(threads: threads, isDirectOnly: choice == .automatic, keptAs: name)
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
