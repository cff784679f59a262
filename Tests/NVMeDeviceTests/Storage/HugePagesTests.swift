import LinuxPrimitives
import Testing

@testable import NVMeDevice

@Suite struct `Huge pages of a disk in memory` {
  private static let areThere = (try? HugePages.check()) != nil

  private func roomOfOneByte(_ usesHugePages: Bool) throws -> UInt64 {
    let file = try StorageFile(memory: 8 << 20, usesHugePages: usesHugePages)
    let memory = try #require(file.memory)
    var byte: UInt8 = 7
    #expect(unsafe memory.write(5 << 20, 1, from: &byte))
    return try file.allocated()
  }

  @Test(
    .enabled(if: areThere, "/sys/kernel/mm/transparent_hugepage/shmem_enabled has to be advise"))
  func `A disk in memory takes 2 MiB at a time when that was asked for, else a page`() throws {
    #expect(try roomOfOneByte(true) == 2 << 20)
    #expect(try roomOfOneByte(false) == 4096)
  }
}
