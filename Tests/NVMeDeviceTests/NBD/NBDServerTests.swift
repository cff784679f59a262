import Foundation
import Glibc
import NVMeProtocol
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserServer

@testable import NVMeDevice

@Suite(
  .timeLimit(.minutes(1)), .enabled(if: NBDServer.isPossible, "\(NBDServer.remedy)"))
struct `What NBD servers can and cannot` {
  private func identity(_ disk: NBDHost) throws -> IdentifyNamespace {
    #expect(try disk.host.run(.identify(.namespace, namespace: 1)).status == .success)
    return try IdentifyNamespace(decoding: disk.host.received(4096).span)
  }

  @Test func `Many commands are with a slow server at a time`() throws {
    let server = try NBDServer.nbdkit(
      ["memory", "16M", "delay-read=200ms"], filters: ["delay"], options: ["-t", "64"])
    let disk = try NBDHost(server.address())
    let start = ContinuousClock.now
    for index in 0..<32 as Range<UInt64> {
      disk.host.put(.io(.read, block: index, data: TestHost.data + index * 4096), &disk.queue)
    }
    try disk.host.ring(disk.queue)
    for _ in 0..<32 { #expect(try disk.host.next(&disk.queue).status == .success) }
    #expect(ContinuousClock.now - start < .seconds(2))
  }

  @Test func `Errors of a server are errors of the commands, and the disk goes on`() throws {
    let server = try NBDServer.nbdkit(
      [
        "memory", "16M", "error-pread=EIO", "error-pread-rate=50%", "error-pwrite=ENOSPC",
        "error-pwrite-rate=50%",
      ],
      filters: ["error"])
    let disk = try NBDHost(server.address())
    var reads: Set<Bool> = []
    var writes: Set<Bool> = []
    for _ in 0..<40 {
      let read = try disk.run(.io(.read))
      #expect(read == .success || read.means(.unrecoveredReadError))
      reads.insert(read == .success)
      let write = try disk.run(.io(.write))
      #expect(write == .success || write.means(.capacityExceeded))
      writes.insert(write == .success)
    }
    #expect(reads.count == 2 && writes.count == 2)
  }

  @Test func `Only blocks that a server takes are offered, and its preference is told`() throws {
    let server = try NBDServer.nbdkit(
      [
        "memory", "16M", "blocksize-error-policy=error", "blocksize-minimum=4K",
        "blocksize-preferred=64K", "blocksize-maximum=64K",
      ], filters: ["blocksize-policy"])
    #expect(throws: NVMeDevice.ValidationError.self) { _ = try NBDHost(server.address()) }
    let disk = try NBDHost(server.address(), blockSize: 4096)
    let identity = try identity(disk)
    #expect(identity[format: 0].dataShift == 0 && identity[format: 1].dataShift == 12)
    #expect(identity.preferredWriteGranularityZeroBased == 15)
    // More than the server takes at once, in pieces of memory.
    let pages = (0..<64).map { TestHost.data + UInt64($0) * 8192 }
    disk.host.provide(
      pages[1...].flatMap { page in
        (0..<8).map { UInt8(truncatingIfNeeded: page >> (8 * UInt64($0))) }
      }, at: TestHost.lists)
    for (index, page) in pages.enumerated() {
      disk.host.provide(pattern(4096, seed: UInt64(index)), at: page)
    }
    let write = SubmissionEntry.io(.write, blocks: 64).with { $0.dataPointer2 = TestHost.lists }
    #expect(try disk.run(write) == .success)
    for page in pages { disk.host.provide([UInt8](repeating: 0, count: 4096), at: page) }
    let read = SubmissionEntry.io(.read, blocks: 64).with { $0.dataPointer2 = TestHost.lists }
    #expect(try disk.run(read) == .success)
    for (index, page) in pages.enumerated() {
      #expect(
        disk.host.received(4096, at: page) == pattern(4096, seed: UInt64(index)) ? true : false)
    }
  }

  @Test func `A server that shares an export gets several connections, another one gets one`()
    throws
  {
    let shared = try NBDServer.nbdkit(["memory", "16M"])
    let disk = try NBDHost(shared.address())
    #expect(eventually { disk.export.counters.connections == 4 })
    let two = try NBDHost(shared.address()) { $0.connections = 2 }
    #expect(eventually { two.export.counters.connections == 2 })
    let single = try NBDServer.nbdkit(
      ["memory", "16M", "multi-conn-mode=disable"], filters: ["multi-conn"])
    let other = try NBDHost(single.address())
    #expect(try other.holds(0, seed: 1) == false)
    #expect(other.export.counters.connections == 1)
  }

  @Test func `An export that is read-only is a namespace that is`() throws {
    let server = try NBDServer.nbdkit(["memory", "16M"], options: ["-r"])
    let disk = try NBDHost(server.address())
    #expect(try identity(disk).isWriteProtected)
    #expect(try disk.run(.io(.write)).means(.writeProtected))
    #expect(try disk.run(.io(.read)) == .success)
    #expect(try disk.run(.io(.flush)) == .success)
  }

  @Test func `A server without flush, FUA, trim and zeros is served as well`() throws {
    let server = try NBDServer.nbdkit(
      [
        "eval", "get_size=echo 16M", "pread=dd if=/dev/zero count=$3 iflag=count_bytes 2>/dev/null",
        "pwrite=cat >/dev/null", "can_write=exit 0",
      ])
    let disk = try NBDHost(server.address())
    #expect(try disk.run(.io(.flush)) == .success)
    #expect(try disk.run(.io(.writeZeroes, blocks: 4096)) == .success)
    #expect(try disk.run(SubmissionEntry.io(.write).with { $0.dword12 |= 1 << 30 }) == .success)
    let deallocate = SubmissionEntry.io(.datasetManagement).with {
      $0.dword10 = 0
      $0.dword11 = 4
    }
    disk.host.provide([0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    #expect(try disk.run(deallocate) == .success)
  }

  @Test func `An export that has grown shows its new size, and its new blocks`() throws {
    let folder = try ScratchFolder()
    let image = folder.path("image")
    #expect(FileManager.default.createFile(atPath: image, contents: nil))
    let file = try FileHandle(forWritingTo: URL(filePath: image))
    try file.truncate(atOffset: 1 << 20)
    let server = try NBDServer.nbdkit(["file", image], in: folder)
    let disk = try NBDHost(server.address())
    #expect(try disk.write(0, seed: 1) == .success)
    #expect(try disk.run(.io(.read, block: 2048)).means(.lbaOutOfRange))
    try file.truncate(atOffset: 2 << 20)
    disk.host.device.measure()
    #expect(eventually { (try? disk.export.size()) == 2 << 20 })
    #expect(eventually { (try? disk.run(.io(.read, block: 2048))) == .success })
    #expect(try disk.write(4088, seed: 2) == .success)
    #expect(try disk.holds(4088, seed: 2))
    #expect(try disk.run(.io(.flush)) == .success)
    #expect(try identity(disk).size == 4096)
  }

  @Test func `What a guest truncates fails its commands only`() throws {
    let server = try NBDServer.nbdkit(["memory", "16M"])
    let log = CollectedLog()
    let disk = try NBDHost(server.address(), logger: log.logger) { $0.replay = 0 }
    let gone = try TruncatableMemory(size: 1 << 20)
    let memory = try SharedMemory(adopting: gone.lent(), size: 1 << 20)
    try disk.host.client.map(memory, at: 1 << 30, size: 1 << 20)
    #expect(try disk.write(0, seed: 1) == .success)
    gone.resize(to: 0)
    for opcode in [IOOpcode.read, .write] {
      for round in 0..<4 as Range<UInt64> {
        disk.host.put(.io(opcode, block: 64, blocks: 8, data: 1 << 30 + round * 4096), &disk.queue)
        disk.host.put(.io(.read, blocks: 8), &disk.queue)
      }
      try disk.host.ring(disk.queue)
      var failed = 0
      for _ in 0..<8 where try disk.host.next(&disk.queue).status != .success { failed += 1 }
      #expect(failed == 4)
    }
    #expect(try disk.holds(0, seed: 1))
  }
}
