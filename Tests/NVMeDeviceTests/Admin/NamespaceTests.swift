import NVMeProtocol
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserTransport

@testable import NVMeDevice

@Suite struct `Namespaces of the disk` {
  @Test func `Each namespace has its own data`() throws {
    let host = try TestHost([StorageFile(memory: 1 << 20), StorageFile(memory: 2 << 20)])
    try host.enable()
    var queue = try host.makeQueue()
    host.provide(pattern(512, seed: 1))
    #expect(try host.run(.io(.write, namespace: 1), &queue).status == .success)
    host.provide(pattern(512, seed: 2))
    #expect(try host.run(.io(.write, namespace: 2), &queue).status == .success)
    #expect(try host.run(.io(.read, namespace: 1), &queue).status == .success)
    #expect(host.received(512) == pattern(512, seed: 1))
    #expect(
      try host.run(.io(.read, block: 2048, namespace: 1), &queue).status.means(.lbaOutOfRange))
    #expect(try host.run(.io(.read, block: 2048, namespace: 2), &queue).status == .success)
  }

  @Test func `A read-only namespace refuses commands that would change it`() throws {
    let file = try TestFile(size: 1 << 20)
    let host = try TestHost([StorageFile(path: file.path, isReadOnly: true)])
    try host.enable()
    var queue = try host.makeQueue()
    #expect(try host.run(.io(.read), &queue).status == .success)
    #expect(try host.run(SubmissionEntry(opcode: 0, namespaceID: 1), &queue).status == .success)
    for opcode: IOOpcode in [.write, .writeZeroes] {
      #expect(try host.run(.io(opcode), &queue).status.means(.writeProtected))
    }
    let deallocate = SubmissionEntry.io(.datasetManagement).with { $0.dword11 = 4 }
    #expect(try host.run(deallocate, &queue).status.means(.writeProtected))
    #expect(try host.run(.admin(.formatNVM, namespace: 1)).status.means(.writeProtected))
    #expect(try host.run(.log(.health, bytes: 512)).status == .success)
    #expect(try HealthLog(decoding: host.received(512).span).criticalWarning == 0)
    #expect(try host.run(.identify(.namespace, namespace: 1)).status == .success)
    #expect(try IdentifyNamespace(decoding: host.received(4096).span).isWriteProtected)
  }

  @Test func `A file that grows raises a namespace changed event`() throws {
    let file = try TestFile(size: 1 << 20)
    let host = try TestHost([StorageFile(path: file.path)])
    try host.enable()
    host.put(.admin(.asynchronousEventRequest), &host.admin)
    #expect(try host.run(.set(.asynchronousEvents, 1 << 8)).status == .success)
    try resize(file.path, 3 << 20)
    host.device.measure()
    let event = try host.next(&host.admin)
    #expect(AsynchronousEvent(rawValue: event.result) == .namespaceChanged)
    #expect(try host.run(.identify(.namespace, namespace: 1)).status == .success)
    #expect(try IdentifyNamespace(decoding: host.received(4096).span).size == 6144)
    #expect(try host.run(.log(.changedNamespaces, bytes: 4096)).status == .success)
    #expect(try NumberList(decoding: host.received(4096).span).numbers == [1])
    #expect(try host.run(.log(.changedNamespaces, bytes: 4096)).status == .success)
    #expect(try NumberList(decoding: host.received(4096).span).numbers == [])
  }

  private func resize(_ path: FilePath, _ size: UInt64) throws {
    let descriptor = try FileDescriptor.open(path, .readWrite)
    try descriptor.closeAfter { try descriptor.resize(to: Int64(size)) }
  }

  @Test func `A truncated file makes reads fail, and the disk goes on`() throws {
    let file = try TestFile(size: 1 << 20)
    let host = try TestHost([StorageFile(path: file.path)])
    try host.enable()
    var queue = try host.makeQueue()
    try resize(file.path, 512 << 10)
    #expect(
      try host.run(.io(.read, block: 2000), &queue).status.means(.unrecoveredReadError))
    #expect(try host.run(.io(.read, block: 0), &queue).status == .success)
    #expect(try host.run(.log(.health, bytes: 512)).status == .success)
    #expect(try HealthLog(decoding: host.received(512).span).mediaErrors == 1)
  }

  @Test(arguments: [(1, 12, 256), (0, 9, 2048)] as [(UInt32, UInt8, UInt64)])
  func `Format erases a namespace and sets its block size`(
    format: UInt32, shift: UInt8, blocks: UInt64
  ) throws {
    let host = try TestHost([StorageFile(memory: 1 << 20)])
    try host.enable()
    var queue = try host.makeQueue()
    host.provide(pattern(4096))
    #expect(try host.run(.io(.write, blocks: 8), &queue).status == .success)
    let entry = SubmissionEntry.admin(.formatNVM, namespace: 1).with {
      $0.dword10 = format | 1 << 9
    }
    #expect(try host.run(entry).status == .success)
    #expect(try host.run(.identify(.namespace, namespace: 1)).status == .success)
    let identity = try IdentifyNamespace(decoding: host.received(4096).span)
    #expect(identity.format.dataShift == shift && identity.size == blocks)
    #expect(try host.run(.io(.read), &queue).status == .success)
    #expect(host.received(512).allSatisfy { $0 == 0 })
  }

  @Test(
    arguments: [
      (2, 1, .invalidFormat), (0x10, 1, .invalidFormat), (0x20, 1, .invalidFormat),
      (2 << 9, 1, .invalidField), (0, 0, .invalidNamespace), (0, 2, .invalidNamespace),
      (0, .max, .success),
    ] as [(UInt32, UInt32, Status)])
  func `Format refuses unknown formats and missing namespaces`(
    value: UInt32, id: UInt32, status: Status
  ) throws {
    let host = try TestHost()
    try host.enable()
    let entry = SubmissionEntry.admin(.formatNVM, namespace: id).with { $0.dword10 = value }
    #expect(try host.run(entry).status.means(status))
    #expect(try host.run(.admin(.formatNVM, namespace: 1)).status == .success)
  }

  @Test(arguments: [false, true])
  func `Format waits for commands in flight, even while the disk shuts down`(
    shutsDown: Bool
  ) throws {
    let engine = HeldEngine()
    let host = try TestHost { $0.makeEngine = { engine } }
    try host.enable()
    var queue = try host.makeQueue()
    host.put(.io(.verify, blocks: 8), &queue)
    try host.ring(queue)
    #expect(eventually { engine.held == [.read] })
    let format = host.put(.admin(.formatNVM, namespace: 1), &host.admin)
    let other = host.put(.get(.arbitration), &host.admin)
    try host.ring(host.admin)
    // The command after it is done, and it has not begun.
    #expect(try host.next(&host.admin).commandID == other)
    #expect(try host.run(.io(.read), &queue).status.means(.formatInProgress))
    #expect(engine.held == [.read])
    if shutsDown { try host.configure { $0.shutdown = 1 } }
    engine.letGo()
    #expect(try host.next(&queue).status == .success)
    let completion = try host.next(&host.admin)
    #expect(completion.commandID == format && completion.status == .success)
    #expect(engine.done.prefix(2) == [.read, .zero(deallocate: true, durable: true)])
    guard shutsDown else { return #expect(try host.run(.io(.read), &queue).status == .success) }
    #expect(eventually { host.status.shutdown == 2 })
  }
}
