import Glibc
import LinuxPrimitives
import SystemPackage
import TestSupport
import Testing

@Suite struct `The processors of a thread` {
  /// What a thread of its own returns, so that no other test is moved.
  private func apart(_ body: @escaping @Sendable () throws -> [Int]) throws -> [Int]? {
    let seen = Monitor<[Int]?>(nil)
    try DetachedThread.start("apart") {
      let found = (try? body()) ?? [-1]; seen.withLock { $0 = found }
    }
    _ = eventually { seen.withLock { $0 != nil } }
    return seen.withLock { $0 }
  }

  @Test func `A thread is moved to one processor, and what it starts too`() throws {
    let all = try ProcessorAffinity().processors
    let last = try #require(all.last)
    #expect(
      try apart {
        try ProcessorAffinity([last]).apply(); return try ProcessorAffinity().processors
      } == [last])
    #expect(try ProcessorAffinity().processors == all)
  }

  @Test func `What was read can be set again`() throws {
    let all = try ProcessorAffinity()
    #expect(
      try apart {
        try ProcessorAffinity([all.processors[0]]).apply()
        try all.apply()
        return try ProcessorAffinity().processors
      } == all.processors)
  }

  @Test(arguments: [[], [8191], [8192], [-1], [.max]])
  func `Processors that the machine does not have are refused`(numbers: [Int]) {
    #expect(throws: SystemCallError(call: "sched_setaffinity", code: .invalidArgument)) {
      try ProcessorAffinity(numbers).apply()
    }
  }

  @Test func `A thread that does not exist has no processors`() {
    #expect(throws: SystemCallError(call: "sched_getaffinity", code: .noSuchProcess)) {
      try ProcessorAffinity(of: .max)
    }
  }
}
