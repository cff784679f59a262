import Foundation
import NVMeProtocol
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserTransport

@testable import NVMeDevice

@Suite struct `The identity of a disk` {
  /// What a host tells disks and namespaces apart by.
  private struct Names: Equatable {
    let serial: String
    let subsystem: String
    var ids: [[UInt8]] = []
    var uuids: [[UInt8]?] = []
  }

  private func names(_ host: TestHost) throws -> Names {
    try host.enable()
    let controller = try host.identity()
    var names = Names(serial: controller.serialNumber, subsystem: controller.subsystemName)
    for id in 1...controller.namespaceCount {
      let namespace = try host.identity(of: id)
      #expect(namespace.extendedUniqueID == [UInt8](repeating: 0, count: 8))
      #expect(namespace.globallyUniqueID.contains { $0 != 0 })
      names.ids.append(namespace.globallyUniqueID)
      #expect(try host.run(.identify(.namespaceIdentifiers, namespace: id)).status == .success)
      let list = try NamespaceIdentifiers(decoding: host.received(4096).span)
      #expect(list.extendedUniqueID == nil && list.globallyUniqueID == names.ids.last)
      names.uuids.append(list.uuid)
    }
    return names
  }

  /// No name of one is a name of the other.
  private func expectOthers(_ a: Names, _ b: Names) {
    #expect(a.serial != b.serial && a.subsystem != b.subsystem)
    #expect(Set(a.ids).isDisjoint(with: b.ids) && Set(a.uuids).isDisjoint(with: b.uuids))
  }

  @Test func `The identity of a disk is made once, and no other disk has it`() throws {
    let (a, b) = (try TestFile(size: 1 << 20), try TestFile(size: 1 << 20))
    let first = try names(keptHost([a.path]))
    #expect(first.serial.utf8.count == 20)
    expectOthers(first, try names(keptHost([b.path])))
    #expect(try names(keptHost([a.path])) == first)
  }

  @Test func `The identity of a disk belongs to its files, in any order`() throws {
    let kept = try (0..<3).map { _ in try TestFile(size: 1 << 20) }
    let paths = kept.map(\.path)
    let before = try names(keptHost([paths[0], paths[1]]))
    let turned = try names(keptHost([paths[1], paths[0]]))
    #expect(turned.serial == before.serial && turned.ids == before.ids.reversed())
    let more = try names(keptHost([paths[2], paths[0], paths[1]]))
    #expect(more.serial == before.serial && Array(more.ids.dropFirst()) == before.ids)
  }

  @Test func `The identity of a disk is what its configuration says`() throws {
    let file = try TestFile(size: 1 << 20)
    let id = (0..<16).map { UInt8($0) }
    let host = try keptHost([file.path]) {
      $0.serialNumber = "MINE"
      $0.namespaces[0].globallyUniqueID = id
    }
    let names = try names(host)
    #expect(names.serial == "MINE" && names.subsystem.hasSuffix("MINE") && names.ids == [id])
  }

  @Test func `A disk in memory has a new identity at each start, unless it has a serial number`()
    throws
  {
    expectOthers(try names(TestHost()), try names(TestHost()))
    let mine = try names(TestHost { $0.serialNumber = "MINE" })
    #expect(try names(TestHost { $0.serialNumber = "MINE" }) == mine)
    expectOthers(try names(TestHost { $0.serialNumber = "YOURS" }), mine)
    let two = try names(
      TestHost([StorageFile(memory: 4096), StorageFile(memory: 4096)]) { $0.serialNumber = "MINE" })
    #expect(two.ids[0] != two.ids[1])
  }

  @Test func `A disk without a state file has its identity from its image`() throws {
    let (a, b) = (try TestFile(size: 1 << 20), try TestFile(size: 1 << 20))
    func host(_ file: TestFile) throws -> TestHost {
      try TestHost([afterwards { try StorageFile(path: file.path) }])
    }
    let first = try names(host(a))
    #expect(try names(host(a)) == first)
    expectOthers(first, try names(host(b)))
  }

  @Test func `Two disks that read the same image have different identities`() throws {
    let file = try TestFile(size: 1 << 20)
    _ = try names(keptHost([file.path]))
    func reader(_ name: String) throws -> TestHost {
      let image = try afterwards { try StorageFile(path: file.path, isReadOnly: true) }
      return try TestHost([image]) {
        $0.readerName = name
        try $0.openState(.beside(otherwise: nil))
      }
    }
    let (one, two) = (try reader("/one.sock"), try reader("/two.sock"))
    let first = try names(one)
    expectOthers(first, try names(two))
    #expect(try names(reader("/one.sock")) == first)
  }
}

@Suite struct `Counters of a disk` {
  @Test func `The counters of a disk stay at their maximum`() async {
    await #expect(processExitsWith: .success) {
      let file = try TestFile(size: 1 << 20)
      var options = NVMeConfiguration(namespaces: [
        NamespaceConfiguration(try StorageFile(path: file.path))
      ])
      try options.openState(.beside(otherwise: nil))
      let full = CounterRecord(
        bytesRead: .max, bytesWritten: .max, hostReads: .max, hostWrites: .max, powerCycles: .max,
        unsafeShutdowns: .max, mediaErrors: .max, errorLogEntries: .max, busyTime: .max,
        powerOnTime: .max, isPowered: true)
      try #require(options.namespaces[0].store).update {
        $0.controller = ControllerRecord(counters: full, features: ["8": .max, "300": 1, "x": 2])
      }
      options.namespaces = []
      let host = try keptHost([file.path])
      try host.enable()
      var queue = try host.makeQueue()
      #expect(try host.run(.io(.write), &queue).status == .success)
      #expect(try host.run(.io(.read), &queue).status == .success)
      #expect(try host.run(.io(.read, block: 1 << 40), &queue).status.means(.lbaOutOfRange))
      let descriptor = try FileDescriptor.open(file.path, .readWrite)
      try descriptor.closeAfter { try descriptor.resize(to: 0) }
      #expect(try host.run(.io(.read), &queue).status.means(.unrecoveredReadError))
      try host.reconnect()
      try host.resetDevice()
      host.resetPlaces()
      try host.enable()
      let log = try host.health()
      #expect(log.hostReads == .max && log.unsafeShutdowns == .max && log.mediaErrors == .max)
      #expect(log.powerCycles == .max && log.errorLogEntries == .max)
    }
  }
}
