import Foundation
import Logging
import NVMeProtocol
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserTransport

@testable import NVMeDevice

/// A disk of files whose state is beside them, when whoever had them has gone.
func keptHost(
  _ paths: [FilePath], at place: StatePlace = .beside(otherwise: nil), blockSize: Int = 512,
  _ change: (inout NVMeConfiguration) throws -> Void = { _ in }
) throws -> TestHost {
  let files = try paths.map { path in
    try afterwards { try StorageFile(path: path) }
  }
  return try afterwards {
    try TestHost(files, blockSize: blockSize) { options in
      try options.openState(place)
      try change(&options)
    }
  }
}

/// What `body` makes as soon as the lock of an earlier owner has gone, with the last thread of his.
func afterwards<Result>(_ body: () throws -> Result) throws -> Result {
  var result: Result?
  _ = eventually {
    result = try? body()
    return result != nil
  }
  guard let result else { return try body() }
  return result
}

extension TestHost {
  /// Formats a namespace to blocks of 4096 bytes.
  func format(_ namespace: UInt32 = 1) throws -> Status {
    try run(.admin(.formatNVM, namespace: namespace).with { $0.dword10 = 1 }).status
  }

  /// What Identify says of a namespace.
  func identity(of namespace: UInt32 = 1) throws -> IdentifyNamespace {
    #expect(try run(.identify(.namespace, namespace: namespace)).status == .success)
    return try IdentifyNamespace(decoding: received(4096).span)
  }

  /// What Identify says of the controller.
  func identity() throws -> IdentifyController {
    #expect(try run(.identify(.controller)).status == .success)
    return try IdentifyController(decoding: received(4096).span)
  }

  func health() throws -> HealthLog {
    #expect(try run(.log(.health, bytes: 512)).status == .success)
    return try HealthLog(decoding: received(512).span)
  }
}

@Suite struct `What a disk persists` {
  @Test func `Counters, features and block sizes survive the process`() throws {
    let file = try TestFile(size: 1 << 20)
    do {
      let host = try keptHost([file.path])
      try host.enable()
      var queue = try host.makeQueue()
      host.provide(pattern(512))
      #expect(try host.run(.io(.write, blocks: 8), &queue).status == .success)
      #expect(try host.run(.set(.arbitration, 3, saving: true)).status == .success)
      let format = SubmissionEntry.admin(.formatNVM, namespace: 1).with { $0.dword10 = 1 }
      #expect(try host.run(format).status == .success)
      try host.configure { $0.shutdown = 1 }
      #expect(eventually { host.status.shutdown == 2 })
    }
    let host = try keptHost([file.path])
    try host.enable()
    #expect(try host.run(.get(.arbitration)).result == 3)
    #expect(try host.run(.log(.health, bytes: 512)).status == .success)
    let log = try HealthLog(decoding: host.received(512).span)
    #expect(log.hostWrites == 1 && log.powerCycles == 2 && log.unsafeShutdowns == 0)
    #expect(try host.run(.identify(.namespace, namespace: 1)).status == .success)
    #expect(try IdentifyNamespace(decoding: host.received(4096).span).format.dataShift == 12)
  }

  @Test func `Commands of several requests are finished before the device closes`() throws {
    let engine = HeldEngine()
    let host = try TestHost { $0.makeEngine = { engine } }
    try host.enable()
    var queue = try host.makeQueue()
    // 192 kilobytes are three requests, one after the other.
    host.put(.io(.verify, blocks: 384), &queue)
    try host.ring(queue)
    #expect(eventually { engine.held == [.read] })
    host.device.controller.mailbox.post(.close)
    engine.letGo()
    #expect(eventually { engine.isClosed })
    #expect(engine.done == [.read, .read, .read])
  }

  @Test func `A client that disconnects without a shutdown counts as an unsafe shutdown`() throws {
    let host = try TestHost()
    try host.enable()
    try host.reconnect()
    try host.resetDevice()
    try host.enable()
    #expect(try host.run(.log(.health, bytes: 512)).status == .success)
    #expect(try HealthLog(decoding: host.received(512).span).unsafeShutdowns == 1)
  }
}
