import Foundation
import Glibc
import NVMeDriver
import NVMeProtocol
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient

/// SIGHUP after a file was made larger.
///
/// The guest's side is in `AdministrationTests`.
@Suite(.timeLimit(.minutes(2))) struct `A disk whose file changes its size` {
  /// A driver that wants to be told.
  private func attach(_ disk: NVMeDisk) throws -> NVMeController {
    let controller = try NVMeController(
      Client(connectingTo: FilePath(disk.device.socket)), memorySize: 1 << 20)
    try controller.enable()
    let wanted = EventConfiguration.namespaceAttributes
    #expect(try controller.identifyController().optionalEvents & wanted.rawValue != 0)
    try controller.setFeature(.asynchronousEvents, wanted.rawValue)
    try controller.requestEvent()
    return controller
  }

  @Test func `A disk notifies the driver at SIGHUP of new blocks and serves them`() throws {
    let disk = try NVMeDisk(megabytes: 64)
    let controller = try attach(disk)
    let queue = try controller.createQueue(1, entries: 16)
    var space = try NVMeNamespace(1, of: controller)
    let old = space.blocks
    #expect(old == 131_072)
    #expect(throws: NVMeDriverError.self) {
      _ = try controller.read(space, from: old, blocks: 1, on: queue)
    }
    try disk.resize(megabytes: 128)
    #expect(try controller.nextEvent(within: .seconds(10)) == .namespaceChanged)
    let changed = try controller.log(.changedNamespaces, count: 4096)
    #expect(try NumberList(decoding: changed.span).numbers == [1])
    space = try NVMeNamespace(1, of: controller)
    #expect(space.blocks == 2 * old)
    let data = (0..<512).map { UInt8(truncatingIfNeeded: $0 * 7) }
    try controller.write(space, to: 2 * old - 1, data, on: queue)
    #expect(try controller.read(space, from: 2 * old - 1, blocks: 1, on: queue) == data)
    let file = try Data(contentsOf: URL(filePath: disk.file))
    #expect(file.count == 128 << 20 && file.suffix(512) == Data(data))
  }

  /// Each event once, after its log was read; a SIGHUP for nothing is none.
  @Test func `A disk sends one event for each change of its size`() throws {
    let disk = try NVMeDisk(megabytes: 16)
    let controller = try attach(disk)
    disk.device.process.send(SIGHUP)
    #expect(try controller.nextEvent(within: .milliseconds(300)) == nil)
    for (megabytes, blocks) in [(32, 65_536), (48, 98_304)] as [(Int, UInt64)] {
      try disk.resize(megabytes: megabytes)
      #expect(try controller.nextEvent(within: .seconds(10)) == .namespaceChanged)
      _ = try controller.log(.changedNamespaces, count: 4096)
      #expect(try controller.identifyNamespace(1).size == blocks)
      try controller.requestEvent()
    }
    #expect(try controller.nextEvent(within: .milliseconds(300)) == nil)
  }

  @Test func `The next driver sees the new size of a disk without an event`() throws {
    let disk = try NVMeDisk(megabytes: 16)
    let first = try attach(disk)
    #expect(try first.identifyNamespace(1).size == 32_768)
    first.client.disconnect()
    try #require(eventually { disk.device.whatItSaid.contains("the client is gone") })
    try disk.resize(megabytes: 32)
    try #require(eventually { disk.device.whatItSaid.contains("a namespace has another size") })
    let controller = try attach(disk)
    #expect(try controller.nextEvent(within: .milliseconds(300)) == nil)
    #expect(try controller.identifyNamespace(1).size == 65_536)
  }
}
