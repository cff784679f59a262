import NVMeProtocol
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

@testable import NVMeDevice

@Suite(.timeLimit(.minutes(2))) struct `Interrupts of an NVMe controller that goes on elsewhere` {
  private static func host() throws -> TestHost {
    try TestHost([try StorageFile(memory: 8 << 20)]) { $0.serialNumber = "moving" }
  }

  /// As a driver does, before the VMM has set eventfds.
  private static func enableMSIX(_ client: Client) throws {
    var offset = UInt64(try client.load(.configuration, at: 0x34, as: UInt8.self))
    while offset != 0, try client.load(.configuration, at: offset, as: UInt8.self) != 0x11 {
      offset = UInt64(try client.load(.configuration, at: offset + 1, as: UInt8.self))
    }
    try #require(offset != 0)
    try client.store(UInt16(0x8000), .configuration, at: offset + 2)
  }

  /// A completion whose interrupt nobody has heard.
  private static func source() throws -> (host: TestHost, queue: TestHost.Queue) {
    let source = try host()
    try enableMSIX(source.client)
    try source.enable()
    var queue = try source.makeQueue(1)
    _ = try source.run(.io(.read), &queue)
    _ = source.put(.io(.read), &queue)
    try source.ring(queue)
    return (source, queue)
  }

  @Test(arguments: [true, false])
  func `An interrupt that nobody has heard comes once, whether eventfds are set before or after`(
    isArmedBefore: Bool
  ) throws {
    var (source, queue) = try Self.source()
    let target = try Self.host()
    let vectors = try (0..<5).map { _ in try EventFD() }
    if isArmedBefore { try target.client.setTriggers(.msix, vectors) }
    try target.takeOver(from: source)
    if !isArmedBefore { try target.client.setTriggers(.msix, vectors) }
    #expect(vectors[1].wait(for: .seconds(5)) == 1)
    _ = try target.next(&queue)
    try target.ring(queue)
    #expect(vectors[1].wait(for: .milliseconds(50)) == nil)
    // The first doorbell has the controller take over its new client's memory; the next interrupt is one too.
    _ = try target.run(.io(.read), &queue)
    #expect(vectors[1].wait(for: .seconds(5)) == 1)
    #expect(vectors[1].wait(for: .milliseconds(50)) == nil)
  }
}
