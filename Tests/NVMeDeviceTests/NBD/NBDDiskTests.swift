import Logging
import NVMeProtocol
import TestSupport
import Testing
import VFIOUserServer

@testable import NVMeDevice

/// A disk on an export, and a driver.
final class NBDHost {
  let host: TestHost
  let export: NBDExport
  var queue: TestHost.Queue

  init(
    _ address: NBDAddress, isDurable: Bool = false, isReadOnly: Bool = false,
    blockSize: Int = 512, isShared: Bool = true, logger: Logger? = nil,
    _ change: (inout NBDSettings) -> Void = { _ in }
  ) throws {
    var settings = NBDSettings()
    change(&settings)
    export = try NBDExport(
      address, isDurable: isDurable, isReadOnly: isReadOnly, settings: settings)
    host = try TestHost([export], blockSize: blockSize, isShared: isShared) {
      if let logger { $0.logger = logger }
    }
    try host.enable()
    queue = try host.makeQueue(1, entries: 64)
  }

  func run(_ entry: SubmissionEntry) throws -> Status { try host.run(entry, &queue).status }

  /// Writes a pattern to blocks.
  func write(_ block: UInt64, blocks: Int = 8, seed: UInt64, size: Int = 512) throws -> Status {
    host.provide(pattern(blocks * size, seed: seed))
    return try run(.io(.write, block: block, blocks: blocks))
  }

  /// Whether blocks hold a pattern.
  func holds(_ block: UInt64, blocks: Int = 8, seed: UInt64, size: Int = 512) throws -> Bool {
    host.provide([UInt8](repeating: 0xEE, count: blocks * size))
    guard try run(.io(.read, block: block, blocks: blocks)) == .success else { return false }
    return host.received(blocks * size) == pattern(blocks * size, seed: seed)
  }
}

@Suite(
  .timeLimit(.minutes(1)), .enabled(if: NBDServer.isPossible, "\(NBDServer.remedy)"))
struct `A disk on an NBD export` {
  @Test func `What is written is read again, also by another client of the server`() throws {
    let server = try NBDServer.nbdkit(["memory", "16M"])
    let disk = try NBDHost(server.address())
    #expect(try disk.write(8, seed: 1) == .success)
    #expect(try disk.run(.io(.flush)) == .success)
    #expect(try disk.holds(8, seed: 1))
    let other = try NBDHost(server.address())
    #expect(try other.holds(8, seed: 1))
  }

  @Test func `Blocks on qcow2 are zeroed and deallocated`() throws {
    let server = try NBDServer.qemu()
    let disk = try NBDHost(server.address("disk"))
    for block in [0, 8, 16] as [UInt64] { #expect(try disk.write(block, seed: 2) == .success) }
    #expect(try disk.run(.io(.writeZeroes, block: 0, blocks: 8)) == .success)
    let deallocate = SubmissionEntry.io(.writeZeroes, block: 8, blocks: 8).with {
      $0.dword12 |= 1 << 25
    }
    #expect(try disk.run(deallocate) == .success)
    for block in [0, 8] as [UInt64] {
      #expect(try disk.run(.io(.read, block: block, blocks: 8)) == .success)
      #expect(disk.host.received(4096).allSatisfy { $0 == 0 } == true)
    }
    #expect(try disk.holds(16, seed: 2) == true)
    #expect(try disk.run(.io(.flush)) == .success)
  }

  @Test
  func `A disk has namespaces on files and on exports, and one is served when the other is lost`()
    throws
  {
    let server = try NBDServer.nbdkit(["memory", "16M"])
    var settings = NBDSettings()
    settings.timeout = .milliseconds(300)
    let host = try TestHost([
      StorageFile(memory: 1 << 20), NBDExport(server.address(), settings: settings),
    ])
    try host.enable()
    var queue = try host.makeQueue(1, entries: 64)
    for namespace in [1, 2] as [UInt32] {
      host.provide(pattern(512, seed: UInt64(namespace)))
      #expect(try host.run(.io(.write, namespace: namespace), &queue).status == .success)
    }
    #expect(try host.run(.io(.flush, namespace: .max), &queue).status == .success)
    server.kill()
    host.put(.io(.read, namespace: 2, data: TestHost.data + 4096), &queue)
    try host.ring(queue)
    let start = ContinuousClock.now
    #expect(try host.run(.io(.read, namespace: 1), &queue).status == .success)
    #expect(ContinuousClock.now - start < .milliseconds(250))
    #expect(host.received(512) == pattern(512, seed: 1) ? true : false)
    #expect(try host.next(&queue).status.means(.namespaceNotReady))
  }

  @Test func `Memory that is reached by messages, or in several pieces, is served as well`() throws
  {
    let server = try NBDServer.nbdkit(["memory", "16M"])
    let disk = try NBDHost(server.address(), isShared: false)
    #expect(try disk.write(0, blocks: 2, seed: 3) == .success)
    #expect(try disk.holds(0, blocks: 2, seed: 3))
    // The second page is somewhere else.
    let near = try NBDHost(server.address())
    let entry = SubmissionEntry.io(.write, block: 64, blocks: 16).with {
      $0.dataPointer2 = TestHost.data + 0x10000
    }
    near.host.provide(pattern(4096, seed: 4))
    near.host.provide(pattern(4096, seed: 5), at: TestHost.data + 0x10000)
    #expect(try near.run(entry) == .success)
    #expect(try near.holds(64, seed: 4))
    #expect(try near.holds(72, seed: 5))
  }
}
