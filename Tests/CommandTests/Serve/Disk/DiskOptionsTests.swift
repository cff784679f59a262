import ArgumentParser
import NVMeDevice
import Testing

@testable import vfio_user

@Suite struct `Options of a disk` {
  private func disk(_ arguments: [String]) throws -> DiskOptions {
    let command = try Serve.parseAsRoot(["nvme", "--socket", "/disks/a"] + arguments)
    return try #require(command as? ServeNVMe).disk
  }

  @Test func `Options of a disk apply to namespaces without an option of their own`() throws {
    let disk = try disk([
      "--namespace", "memory=1M", "--namespace", "file=b,block-size=512,cache=write-through",
      "--block-size", "4096", "--cache", "direct",
    ])
    let namespaces = try disk.namespaces()
    #expect(namespaces.map(\.blockSize) == [4096, 512])
    #expect(namespaces.map(\.cache) == ["direct", "write-through"])
    #expect(namespaces.map(\.readOnly) == [false, false])
  }

  @Test func `The option --read-only of a disk makes all its namespaces read-only`() throws {
    let places = ["--namespace", "memory=1M", "--namespace", "memory=2M,read-only"]
    let some = try disk(places).namespaces()
    #expect(try some.map { try $0.open().storage.isReadOnly } == [false, true])
    let all = try disk(places + ["--read-only"]).namespaces()
    #expect(try all.map { try $0.open().storage.isReadOnly } == [true, true])
    let one = try disk(["--memory", "1M", "--read-only"]).namespaces()
    #expect(try one.map { try $0.open().storage.isReadOnly } == [true])
  }

  @Test func `A disk with the option --read-only has no state file`() throws {
    let disk = try disk(["--namespace", "file=/disks/b", "--read-only"])
    #expect(disk.stateFiles(try disk.namespaces()) == [])
  }

  @Test func `The option --size of a disk is refused together with --namespace`() {
    #expect(throws: (any Error).self) {
      try disk(["--namespace", "file=b", "--size", "1G"])
    }
  }
}
