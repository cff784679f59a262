import NVMeProtocol
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient

@testable import NVMeDevice

@Suite(
  .timeLimit(.minutes(1)), .enabled(if: NBDServer.isPossible, "\(NBDServer.remedy)"))
struct `A disk on an NBD export that moves to another process` {
  private func host(_ server: NBDServer, isIncoming: Bool = false) throws -> (TestHost, NBDExport) {
    let export = try NBDExport(server.address("disk"), isIncoming: isIncoming)
    return (try TestHost([export]) { $0.serialNumber = "moving" }, export)
  }

  @Test func `The target goes on, and the source has parted with the server`() throws {
    let server = try NBDServer.qemu(size: "16M", format: "raw", options: ["-e", "8"])
    let (source, first) = try host(server)
    let (target, second) = try host(server, isIncoming: true)
    #expect(second.counters.connections == 0 && target.device.isWaiting)
    try source.enable()
    var queue = try source.makeQueue(1, entries: 64)
    source.provide(pattern(512, seed: 1))
    #expect(try source.run(.io(.write), &queue).status == .success)
    try target.takeOver(from: source)
    #expect(eventually { first.counters.connections == 0 })
    #expect(try target.run(.io(.read), &queue).status == .success)
    #expect(target.received(512) == pattern(512, seed: 1) ? true : false)
    #expect(try target.run(.io(.flush), &queue).status == .success)
    // What the source had not flushed was flushed before it let go.
    server.kill()
    try server.start()
    #expect(try target.run(.io(.flush), &queue).status == .success)
  }

  @Test func `What the source may have lost fails the first flush at the target`() throws {
    let server = try NBDServer.nbdkit(["memory", "16M"])
    let export = try NBDExport(server.address())
    let source = try TestHost([export]) { $0.serialNumber = "moving" }
    let other = try NBDExport(server.address(), isIncoming: true)
    let target = try TestHost([other]) { $0.serialNumber = "moving" }
    try source.enable()
    _ = try source.makeQueue()
    export.deferFlushError(.ioError)
    #expect(throws: (any Error).self) { try target.takeOver(from: source) }
  }
}
