import NVMeProtocol
import Testing

@testable import NVMeDevice

@Suite struct `Jobs of the admin command set` {
  @Test(arguments: [(0, 0), (1, 1), (0x201, 1)] as [(UInt32, UInt8)])
  func `Format NVM takes the formats that namespaces offer`(value: UInt32, format: UInt8) throws {
    let entry = SubmissionEntry.admin(.formatNVM).with { $0.dword10 = value }
    #expect(try FormatJob.format(of: entry) == format)
  }

  @Test(
    arguments: [
      (2, CommandError(Status.invalidFormat.final, byte: 40)),
      (0x10, CommandError(Status.invalidFormat.final, byte: 40)),
      (0x20, CommandError(Status.invalidFormat.final, byte: 40)),
      (0x400, .field(41)),
    ] as [(UInt32, CommandError)])
  func `Format NVM refuses metadata, protection and cryptographic erase`(
    value: UInt32, error: CommandError
  ) {
    let entry = SubmissionEntry.admin(.formatNVM).with { $0.dword10 = value }
    #expect(throws: error) { try FormatJob.format(of: entry) }
  }

  /// A job that switches the cache off, and a write that the engine has.
  private struct CacheBench {
    let parts: ControllerParts
    let job: CacheOffJob
    let write: CommandSlot
    let command: CommandSlot

    init() throws {
      parts = try ControllerParts()
      let options = NVMeConfiguration(
        namespaces: [NamespaceConfiguration(try StorageFile(memory: 1 << 20))])
      let namespaces = try Namespaces(options, DiskIdentity(options))
      job = CacheOffJob(namespaces, parts.lifeCycle, parts.features, parts.slots)
      let (queue, _, _) = parts.makePair(1)
      write = try parts.command(.io(.write), from: queue)
      _ = write.asks(.write(durable: false), of: namespaces.all[0].storage, from: 0, count: 512)
      command = try parts.command(.set(.volatileWriteCache, 0), from: queue)
    }
  }

  @Test func `Switching the cache off waits for earlier writes, then flushes each namespace`()
    throws
  {
    let bench = try CacheBench()
    bench.write.isSubmitted = true
    #expect(bench.job.start(bench.command) == .pending)
    #expect(!bench.parts.features.isCacheOn && bench.job.takeReady().isEmpty)
    bench.write.isSubmitted = false
    #expect(bench.job.takeReady().map(\.request.tag) == [bench.command.request.tag])
    #expect(bench.job.takeReady().isEmpty)
    #expect(bench.job.flush(bench.command, from: 0) == .request)
    #expect(bench.command.request.operation == .flush)
    #expect(bench.job.flush(bench.command, from: 1) == nil)
  }

  @Test func `A command that ends while it waits does not switch the cache off later`() throws {
    let bench = try CacheBench()
    bench.write.isSubmitted = true
    #expect(bench.job.start(bench.command) == .pending)
    bench.job.end(bench.command)
    bench.write.isSubmitted = false
    #expect(bench.job.takeReady().isEmpty)
  }

  @Test func `A flush that fails leaves the cache on`() throws {
    let bench = try CacheBench()
    #expect(bench.job.start(bench.command) == .request)
    bench.job.keepCache()
    #expect(bench.parts.features.isCacheOn)
  }
}
