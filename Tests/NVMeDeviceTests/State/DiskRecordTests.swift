import Logging
import NVMeProtocol
import Testing

@testable import NVMeDevice

@Suite struct `What a disk counts` {
  private let record: DiskRecord

  init() throws {
    let options = NVMeConfiguration(
      namespaces: [NamespaceConfiguration(try StorageFile(memory: 1 << 20))])
    record = DiskRecord(try Keeping(options), options.logger)
  }

  @Test func `A host that goes without a shutdown counts as a loss of power, once`() {
    record.losePower()
    #expect(record.health.unsafeShutdowns.value == 0)
    record.powerOn()
    record.losePower()
    record.losePower()
    #expect(record.health.unsafeShutdowns.value == 1)
  }

  @Test func `A host that shuts the disk down loses no power`() {
    record.powerOn()
    record.shutDown()
    record.losePower()
    #expect(record.health.unsafeShutdowns.value == 0)
  }

  @Test func `An entry of the error log gets its number from the counter`() {
    record.add(ErrorLogEntry())
    record.add(ErrorLogEntry())
    #expect(record.health.errorLogEntries.value == 2)
    #expect(record.errors.page.prefix(8) == [2, 0, 0, 0, 0, 0, 0, 0])
  }
}
