import Glibc
import NVMeProtocol
import SystemCallFilter
import SystemPackage
import TestSupport
import Testing
import VFIOUserTransport

@testable import NVMeDevice

@Suite struct `What a disk cannot persist` {
  @Test func `A disk without a state file offers no other format and no saved features`() throws {
    let file = try TestFile(size: 1 << 20)
    let host = try TestHost([StorageFile(path: file.path)])
    try host.enable()
    let identity = try host.identity(of: 1)
    #expect(identity[format: 0].dataShift == 9 && identity[format: 1].dataShift == 0)
    #expect(try host.format().means(.invalidFormat))
    #expect(try host.run(.admin(.formatNVM, namespace: 1)).status == .success)
    let saving = SubmissionEntry.set(.arbitration, 3, saving: true)
    #expect(try host.run(saving).status.means(.featureNotSaveable))
    #expect(try host.run(.set(.arbitration, 3)).status == .success)
    let capabilities = try host.run(.get(.arbitration, .capabilities)).result
    #expect(FeatureCapabilities(rawValue: capabilities) == [.changeable])
  }

  @Test func `A disk in memory offers all formats and saved features`() throws {
    let host = try TestHost()
    try host.enable()
    #expect(try host.format() == .success)
    #expect(try host.run(.set(.arbitration, 3, saving: true)).status == .success)
    let capabilities = try host.run(.get(.arbitration, .capabilities)).result
    #expect(FeatureCapabilities(rawValue: capabilities) == [.changeable, .saveable])
  }

  @Test(arguments: [false, true])
  func `A disk stores its settings even if its first namespace cannot have a state file`(
    isMemory: Bool
  ) throws {
    let (first, second) = (try TestFile(size: 1 << 20), try TestFile(size: 1 << 20))
    for turn in 0..<2 {
      let readOnly = try StorageFile(path: first.path, isReadOnly: true)
      let memory = try StorageFile(memory: 1 << 20)
      let files = try afterwards {
        [isMemory ? memory : readOnly, try StorageFile(path: second.path)]
      }
      let host = try afterwards {
        try TestHost(files) { try $0.openState(.beside(otherwise: nil)) }
      }
      try host.enable()
      if turn == 0 {
        #expect(try host.format(2) == .success)
        #expect(try host.run(.set(.arbitration, 3, saving: true)).status == .success)
      }
      #expect(try host.identity(of: 2).format.dataShift == 12)
      #expect(try host.run(.get(.arbitration)).result == 3)
    }
  }

  @Test func `A disk offers no block size that is larger than its file`() throws {
    let file = try TestFile(size: 2048)
    let host = try keptHost([file.path])
    try host.enable()
    #expect(try host.identity(of: 1)[format: 1].dataShift == 0)
    #expect(try host.format().means(.invalidFormat))
    #expect(try host.identity(of: 1).size == 4)
  }

  @Test(arguments: CacheMode.allCases, [512, 4096])
  func `The block size of an image is found by its partition table`(cache: CacheMode, size: Int)
    throws
  {
    let folder = try TestFolder()
    let table = [UInt8](repeating: 1, count: size) + Array("EFI PART".utf8)
    try folder.write(table + [UInt8](repeating: 1, count: 16384 - table.count), to: "disk")
    #expect(try StorageFile(path: folder("disk"), cache: cache).blockSizeOfPartitions == size)
    try folder.write([UInt8](repeating: 1, count: 8192), to: "none")
    #expect(try StorageFile(path: folder("none"), cache: cache).blockSizeOfPartitions == nil)
  }

  @Test func `A format that cannot be stored fails, and the old block size stays`() async {
    await #expect(processExitsWith: .success) {
      let file = try TestFile(size: 1 << 20)
      let host = try keptHost([file.path])
      try host.enable()
      #expect(filter_refuse_syncs(EIO) == 0)
      #expect(try host.format().means(.internalError))
      #expect(try host.identity(of: 1).format.dataShift == 9)
      let saving = SubmissionEntry.set(.arbitration, 3, saving: true)
      #expect(try host.run(saving).status.means(.internalError))
      #expect(try host.run(.get(.arbitration, .saved)).result == 0)
      #expect(try #require(host.stores[0]).record.blockSize == nil)
    }
  }
}

extension TestHost {
  /// Where the namespaces' state is kept.
  var stores: [StateStore?] { device.controller.namespaces.all.map(\.store) }
}

@Suite struct `A state file that is slow to write` {
  /// Keeps the state of a disk's first namespace from being written as long as it lives.
  private final class Jam {
    private let isOpen = Monitor(false)

    init(_ store: StateStore) throws {
      let hasBegun = Monitor(false)
      try DetachedThread.start("jam") { [isOpen] in
        try? store.update { _ in
          hasBegun.update { $0 = true }
          _ = isOpen.withLock(when: { $0 }) { _ in }
        }
      }
      _ = hasBegun.withLock(when: { $0 }, before: .after(.seconds(10))) { _ in }
    }

    func end() { isOpen.update { $0 = true } }
    deinit { end() }
  }

  @Test func `A slow state file delays only the command that writes to it`() throws {
    let file = try TestFile(size: 1 << 20)
    let host = try keptHost([file.path])
    let jam = try Jam(try #require(host.stores[0]))
    // Being switched on is written down too.
    try host.enable()
    var queue = try host.makeQueue()
    let saving = host.put(.set(.arbitration, 3, saving: true), &host.admin)
    let other = host.put(.get(.numberOfQueues), &host.admin)
    try host.ring(host.admin)
    #expect(try host.next(&host.admin).commandID == other)
    #expect(try host.run(.io(.write), &queue).status == .success)
    let format = host.put(.admin(.formatNVM, namespace: 1).with { $0.dword10 = 1 }, &host.admin)
    try host.ring(host.admin)
    // Which of two queues is served first is the controller's choice.
    var status = Status.success
    _ = eventually {
      status = (try? host.run(.io(.write), &queue).status) ?? .success
      return status != .success
    }
    #expect(status.means(.formatInProgress))
    jam.end()
    let done = try [host.next(&host.admin), host.next(&host.admin)]
    #expect(done.map(\.commandID) == [saving, format])
    #expect(done.allSatisfy { $0.status == .success })
  }

  @Test func `A format that is reset while its state is written takes effect`() throws {
    let file = try TestFile(size: 1 << 20)
    let host = try keptHost([file.path])
    try host.enable()
    let jam = try Jam(try #require(host.stores[0]))
    host.put(.admin(.formatNVM, namespace: 1).with { $0.dword10 = 1 }, &host.admin)
    try host.ring(host.admin)
    let controller = host.device.controller
    #expect(eventually { controller.turn.withLock { _ in controller.requests.submitted } == 1 })
    try host.configure { $0.isEnabled = false }
    // Ready until nothing of the command is left.
    #expect(host.status.isReady)
    jam.end()
    #expect(eventually { !host.status.isReady })
    host.resetPlaces()
    try host.enable()
    #expect(try host.identity(of: 1).format.dataShift == 12)
    #expect(try #require(host.stores[0]).record.blockSize == 4096)
    var queue = try host.makeQueue()
    #expect(try host.run(.io(.read), &queue).status == .success)
  }

  @Test func `The state file is written before a shutdown is complete`() throws {
    let file = try TestFile(size: 1 << 20)
    let host = try keptHost([file.path])
    try host.enable()
    let store = try #require(host.stores[0])
    #expect(eventually { store.record.controller?.counters.isPowered == true })
    let jam = try Jam(store)
    try host.configure { $0.shutdown = 1 }
    #expect(!eventually(within: .milliseconds(300)) { host.status.shutdown == 2 })
    jam.end()
    #expect(eventually { host.status.shutdown == 2 })
    #expect(store.record.controller?.counters.isPowered == false)
  }
}

@Suite struct `A format of all namespaces` {
  @Test func `A format of all namespaces stores each block size before it erases that namespace`()
    throws
  {
    let files = try [TestFile(size: 1 << 20), TestFile(size: 1 << 20)]
    let engine = HeldEngine()
    let host = try keptHost(files.map(\.path)) { $0.makeEngine = { engine } }
    try host.enable()
    host.put(.admin(.formatNVM, namespace: .max).with { $0.dword10 = 1 }, &host.admin)
    try host.ring(host.admin)
    for begun in 1...2 {
      #expect(eventually { engine.held.count == 1 })
      #expect(host.stores.count { $0?.record.blockSize == 4096 } == begun)
      engine.letGo(andHold: true)
    }
    #expect(try host.next(&host.admin).status == .success)
    engine.letGo()
  }

  @Test func `A formatted block size follows its file, and the others come from the configuration`()
    throws
  {
    let (first, second) = (try TestFile(size: 1 << 20), try TestFile(size: 1 << 20))
    let files = [first.path, second.path]
    func shifts(_ host: TestHost) throws -> [UInt8] {
      try [1, 2].map { try host.identity(of: $0).format.dataShift }
    }
    try withExtendedLifetime(keptHost(files)) { host in
      try host.enable()
      #expect(try shifts(host) == [9, 9])
      #expect(try host.format(2) == .success)
    }
    try withExtendedLifetime(keptHost(files.reversed())) { host in
      try host.enable()
      #expect(try shifts(host) == [12, 9])
    }
    let host = try keptHost(files, blockSize: 4096)
    try host.enable()
    #expect(try shifts(host) == [12, 12])
  }
}
