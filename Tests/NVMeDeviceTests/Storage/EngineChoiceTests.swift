import Glibc
import KernelRing
import SystemCallFilter
import TestSupport
import Testing

@testable import NVMeDevice

@Suite struct `The choice of an engine` {
  /// What a disk makes of a choice, and what it logs.
  static func make(
    _ choice: EngineChoice, _ cache: CacheMode
  ) throws -> (engine: (any StorageEngine)?, log: [String]) {
    let file = try TestFile(size: 1 << 20)
    let log = CollectedLog()
    var options = NVMeConfiguration(namespaces: [
      NamespaceConfiguration(try StorageFile(path: file.path, cache: cache))
    ])
    options.logger = log.logger
    options.use(choice)
    let engine = try options.makeEngine?()
    engine?.close()
    return (engine, log.levels)
  }

  @Test func `The thread pool is chosen where the page cache does the work`() throws {
    #expect(try Self.make(.automatic, .writeBack).engine == nil)
    #expect(try Self.make(.automatic, .writeThrough).engine == nil)
    #expect(try Self.make(.pool, .direct).engine == nil)
  }

  @Test(.enabled(if: Ring.unavailability == nil, "this machine lets nobody have an io_uring"))
  func `The io_uring engine is chosen with O_DIRECT and where it is requested`() throws {
    #expect(try Self.make(.automatic, .direct).engine is RingEngine)
    let (engine, log) = try Self.make(.ring, .writeBack)
    #expect(engine is RingEngine)
    #expect(log == [])
  }

  @Test func `The thread pool is chosen where io_uring is not permitted, and the log says why`()
    async
  {
    await #expect(processExitsWith: .success) {
      #expect(filter_refuse_rings(EPERM) == 0)
      let (engine, log) = try Self.make(.ring, .writeBack)
      #expect(engine is ThreadPool)
      #expect(log == ["warning: the thread pool serves instead of a ring"])
      let (other, otherLog) = try Self.make(.automatic, .direct)
      #expect(other is ThreadPool)
      #expect(otherLog == ["info: the thread pool serves instead of a ring"])
    }
  }

  @Test func `The thread pool is chosen under a kernel without io_uring`() async {
    await #expect(processExitsWith: .success) {
      #expect(filter_refuse_rings(ENOSYS) == 0)
      let (engine, _) = try Self.make(.ring, .direct)
      #expect(engine is ThreadPool)
    }
  }
}
