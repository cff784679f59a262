import Foundation
import NVMeProtocol
import TestSupport
import Testing

@testable import NVMeDevice

@Suite(.timeLimit(.minutes(1)), .enabled(if: NBDServer.isBuilt, "\(NBDServer.remedy)"))
struct `A connection to an NBD server that was given up` {
  /// What a server has not sent of the reply to a read or a write when both are given up.
  struct Cut: CustomTestStringConvertible, Sendable {
    var blocks = 8
    /// Bytes of a reply that it holds back, of so many.
    var ofRead: @Sendable (Int) -> Int = { _ in 0 }
    var ofWrite: @Sendable (Int) -> Int = { $0 }
    let testDescription: String
  }

  static let cuts = [
    Cut(testDescription: "all of the write's"),
    Cut(ofWrite: { _ in 9 }, testDescription: "half of the write's"),
    Cut(ofRead: { $0 }, testDescription: "all of both"),
    Cut(ofRead: { $0 - 16 }, testDescription: "the read's data"),
    Cut(ofRead: { _ in 700 }, testDescription: "some of the read's data"),
    Cut(ofRead: { _ in 4100 }, testDescription: "all of the read's but some of its header"),
    Cut(blocks: 256, ofRead: { $0 / 2 }, testDescription: "half of a large read's"),
    Cut(blocks: 256, ofRead: { _ in 1 }, testDescription: "a byte of a large read's"),
  ]

  /// The pages of a transfer follow each other.
  private func makeList(_ disk: NBDHost) {
    disk.host.provide(
      (1..<32 as Range<UInt64>).flatMap { page in
        (0..<8).map { UInt8(truncatingIfNeeded: (TestHost.data + page * 4096) >> (8 * $0)) }
      }, at: TestHost.lists)
  }

  /// Like a disk that hangs behind a server which closes at once when its client does.
  @Test(arguments: cuts)
  func `Is not replaced before the server has answered all writes that it has`(cut: Cut) throws {
    let server = try ScriptedNBDServer {
      $0.held = { type, size in type == 0 ? cut.ofRead(size) : type == 1 ? cut.ofWrite(size) : 0 }
    }
    let disk = try NBDHost(server.address) { $0.timeout = .milliseconds(200) }
    makeList(disk)
    let read = SubmissionEntry.io(.read, blocks: cut.blocks).with {
      $0.dataPointer2 = cut.blocks > 16 ? TestHost.lists : TestHost.data + 4096
    }
    disk.host.put(read, &disk.queue)
    disk.host.put(.io(.write, block: 1024), &disk.queue)
    try disk.host.ring(disk.queue)
    for _ in 0..<2 {
      let status = try disk.host.next(&disk.queue).status
      #expect(status.means(.namespaceNotReady) || status == .success)
    }
    server.change { $0.held = { _, _ in 0 } }
    // The host has its memory back.
    disk.host.provide([UInt8](repeating: 0xAB, count: cut.blocks * 512))
    // That of the read first; it is the write's that is waited for.
    while server.holding > 1 {
      server.release(1)
      #expect(!eventually(within: .milliseconds(100)) { server.connections > 1 })
    }
    #expect(!eventually(within: .milliseconds(200)) { server.connections > 1 })
    #expect(server.holding == 1)
    server.release()
    #expect(eventually { (try? disk.run(.io(.flush))) == .success })
    #expect(server.connections == 2)
    #expect(disk.host.received(cut.blocks * 512).allSatisfy { $0 == 0xAB } == true)
  }

  @Test func `Is replaced when the server owes nothing but data`() throws {
    let server = try ScriptedNBDServer { $0.held = { type, size in type == 0 ? size : 0 } }
    let disk = try NBDHost(server.address) { $0.timeout = .milliseconds(200) }
    #expect(try disk.run(.io(.read, blocks: 8)).means(.namespaceNotReady))
    server.change { $0.held = { _, _ in 0 } }
    disk.host.provide([UInt8](repeating: 0xAB, count: 4096))
    #expect(eventually { (try? disk.run(.io(.flush))) == .success })
    server.release()
    #expect(try disk.run(.io(.flush)) == .success)
    #expect(disk.host.received(4096).allSatisfy { $0 == 0xAB } == true)
  }

  @Test func `Is not replaced before a server that has a part of a write has closed it`() throws {
    let isReleased = EventFlag()
    // It knows no zeros: they are sent, and do not all fit into the socket.
    let server = try ScriptedNBDServer {
      $0.beforeData = { _ = eventually { isReleased.isSet } }
    }
    let disk = try NBDHost(server.address) { $0.timeout = .milliseconds(200) }
    #expect(try disk.run(.io(.writeZeroes, blocks: 2048)).means(.namespaceNotReady))
    #expect(!eventually(within: .milliseconds(300)) { server.connections > 1 })
    isReleased.set()
    #expect(eventually { (try? disk.run(.io(.flush))) == .success })
    #expect(server.connections == 2)
  }

  @Test func `Is not waited for when the server has ended`() throws {
    let server = try ScriptedNBDServer { $0.held = { type, size in type == 1 ? size : 0 } }
    let disk = try NBDHost(server.address)
    disk.host.put(.io(.write, blocks: 8), &disk.queue)
    try disk.host.ring(disk.queue)
    #expect(eventually { server.holding == 1 })
    server.change { $0.held = { _, _ in 0 } }
    server.hangUp()
    #expect(try disk.host.next(&disk.queue).status == .success)
    #expect(server.connections == 2)
  }
}

@Suite(
  .timeLimit(.minutes(1)),
  .enabled(
    if: NBDServer.isPossible && NBDServer.has("psktool"), "\(NBDServer.remedy) gnutls-bin"))
struct `A write that hangs in the disk behind qemu-nbd` {
  /// nbdkit as the disk: the first write waits while there is a file `hold`, and then there is one `landed`.
  private func makeDisk(in folder: ScratchFolder) throws -> NBDServer {
    let (image, hold, first) = (folder.path("image"), folder.path("hold"), folder.path("first"))
    try Data(count: 1 << 20).write(to: URL(filePath: image))
    try Data().write(to: URL(filePath: hold))
    let write = "dd of=\(image) seek=$4 oflag=seek_bytes conv=notrunc 2>/dev/null"
    return try NBDServer.nbdkit(
      [
        "eval", "thread_model=echo parallel", "get_size=echo 1M", "can_write=exit 0",
        "pread=dd if=\(image) skip=$4 count=$3 iflag=skip_bytes,count_bytes 2>/dev/null",
        """
        pwrite=if test -e \(hold) && mkdir \(first) 2>/dev/null
        then while test -e \(hold); do sleep 0.01; done; \(write); touch \(folder.path("landed"))
        else \(write); fi
        """,
      ], in: folder)
  }

  @Test(arguments: [false, true])
  func `Does not come behind a newer one, though its connection was given up`(isEncrypted: Bool)
    throws
  {
    let (front, behind) = (try ScratchFolder(), try ScratchFolder())
    let storage = try makeDisk(in: behind)
    // Else it takes no new client before it is done with the old one.
    var options = ["-e", "8"]
    if isEncrypted {
      let keys = try ProgramRun(
        URL(filePath: "/usr/bin/psktool"), ["-u", "alice", "-p", front.path("keys.psk")])
      try #require(keys.exitCode == 0, "\(keys.errors)")
      options += [
        "--object", "tls-creds-psk,id=keys,endpoint=server,dir=\(front.url.path)", "--tls-creds",
        "keys",
      ]
    }
    let server = try NBDServer.qemu(serving: storage.uri(), options: options, in: front)
    let address =
      isEncrypted
      ? try server.address(
        "disk", "&tls-psk-file=\(front.path("keys.psk"))", scheme: "nbds+unix", user: "alice@")
      : try server.address("disk")
    let disk = try NBDHost(address) { $0.timeout = .milliseconds(300) }
    #expect(try disk.write(0, seed: 1).means(.namespaceNotReady))
    #expect(
      !eventually(within: .milliseconds(700)) { (try? disk.write(0, seed: 2)) == .success },
      "a newer write of the same blocks was carried out")
    try FileManager.default.removeItem(atPath: behind.path("hold"))
    #expect(eventually { FileManager.default.fileExists(atPath: behind.path("landed")) })
    #expect(eventually { (try? disk.write(0, seed: 2)) == .success })
    #expect(try disk.holds(0, seed: 2))
  }
}
