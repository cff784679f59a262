import Foundation
import Logging
import SystemPackage
import Testing
import VFIOUserTransport

@testable import NVMeDevice

@Suite struct `The state file of an image` {
  private let folder: TestFolder

  init() throws { folder = try TestFolder() }

  /// Opens the state of images as a disk does, lets go of it, and says what is in it.
  @discardableResult
  private func records(
    _ names: String..., at place: StatePlace = .beside(otherwise: nil), create: UInt64? = 1 << 20,
    isReadOnly: Bool = false, _ body: ([StateStore?]) throws -> Void = { _ in }
  ) throws -> [StateRecord?] {
    var options = NVMeConfiguration(
      namespaces: try names.map { name in
        NamespaceConfiguration(
          try StorageFile(path: folder(name), create: create, isReadOnly: isReadOnly))
      })
    options.logger.logLevel = .critical
    try options.openState(place)
    try body(options.namespaces.map(\.store))
    return options.namespaces.map { $0.store?.record }
  }

  /// Makes an image that a host has formatted.
  private func formatted(_ name: String) throws -> UniqueID {
    try records(name) { stores in try #require(stores[0]).update { $0.blockSize = 4096 } }
    return try #require(try records(name)[0]).identity
  }

  @Test func `A state file is created beside its image once, and stays`() throws {
    let first = try #require(try records("a")[0])
    #expect(folder.names == ["a", "a.nvme"])
    #expect(try folder.bytes(of: "a.nvme").count == StateSlots.fileSize)
    #expect(try records("a")[0] == first)
    #expect(try records("b")[0]?.identity != first.identity)
  }

  @Test func `A state file is found when its image was renamed, moved or linked`() throws {
    let id = try formatted("a")
    // Renamed alone, then both into another name, then seen through a link.
    try folder.move("a", to: "b")
    var record = try #require(try records("b", create: nil)[0])
    #expect(record.identity == id && record.blockSize == 4096)
    #expect(folder.names == ["b", "b.nvme"])
    try folder.move("b", to: "c")
    try folder.move("b.nvme", to: "c.nvme")
    record = try #require(try records("c", create: nil)[0])
    #expect(record.identity == id && record.blockSize == 4096)
    try FileManager.default.createSymbolicLink(
      atPath: folder("link").string, withDestinationPath: folder("c").string)
    record = try #require(try records("link", create: nil)[0])
    #expect(record.identity == id && record.blockSize == 4096)
    #expect(folder.names == ["c", "c.nvme", "link"])
  }

  @Test func `State files are told apart when two images have swapped their names`() throws {
    let (a, b) = (try formatted("a"), try #require(try records("b")[0]).identity)
    try folder.move("a", to: "c")
    try folder.move("b", to: "a")
    try folder.move("c", to: "b")
    let swapped = try records("a", "b", create: nil)
    #expect(swapped.map { $0?.identity } == [b, a])
    #expect(swapped.map { $0?.blockSize } == [nil, 4096])
  }

  @Test func `A copied image has the copied state, but is another disk while the original exists`()
    throws
  {
    let id = try formatted("a")
    try folder.copy("a", to: "b")
    try folder.copy("a.nvme", to: "b.nvme")
    let copy = try #require(try records("b", create: nil)[0])
    #expect(copy.blockSize == 4096 && copy.identity != id)
    #expect(try records("a", create: nil)[0]?.identity == id)
    // Moved to another file system: the first is gone.
    try folder.copy("a", to: "d")
    try folder.move("a.nvme", to: "d.nvme")
    try FileManager.default.removeItem(atPath: folder("a").string)
    let moved = try #require(try records("d", create: nil)[0])
    #expect(moved.blockSize == 4096 && moved.identity == id)
  }

  @Test func `A state file is not that of an earlier image with the same name`() throws {
    let id = try formatted("a")
    try FileManager.default.removeItem(atPath: folder("a").string)
    let new = try #require(try records("a")[0])
    #expect(new.blockSize == nil && new.identity != id)
  }

  @Test func `A state file of a read-only image is found, and nothing is written`() throws {
    let id = try formatted("a")
    let before = try folder.bytes(of: "a.nvme")
    let record = try records("a", create: nil, isReadOnly: true) { stores in
      #expect(stores[0]?.isWritable == false)
    }
    #expect(record[0]?.identity == id && record[0]?.blockSize == 4096)
    #expect(try folder.bytes(of: "a.nvme") == before)
    _ = try StorageFile(path: folder("b"), create: 4096)
    #expect(try records("b", create: nil, isReadOnly: true) == [nil])
    #expect(folder.names == ["a", "a.nvme", "b"])
  }

  @Test func `A state file in a folder of its own is found by the identity of the image`() throws {
    let state = try TestFolder()
    var first: StateRecord?
    for (name, place) in [
      ("a", StatePlace.folder(state.path)), ("b", .folder(state.path)),
      ("b", .beside(otherwise: state.path)),
    ] {
      if name == "b", first?.path?.hasSuffix("/a") == true { try folder.move("a", to: "b") }
      let record = try #require(try records(name, at: place)[0])
      if let first { #expect(record.identity == first.identity) }
      first = record
    }
    #expect(state.names.count == 1 && folder.names == ["b"])
  }

  @Test func `An image has no state file where none can be created`() throws {
    #expect(try records("a", at: .folder("/proc")) == [nil])
    #expect(try records("a", at: .folder(folder("missing"))) == [nil])
    #expect(folder.names == ["a"])
  }

  @Test func `A state file never replaces another file`() throws {
    for content in [[1], Array("{\"a\": 1}".utf8), [UInt8](repeating: 0, count: 1 << 20)] {
      try folder.write(content, to: "a.nvme")
      #expect(throws: StateFileError.foreign(folder("a.nvme"))) { try records("a") }
      #expect(try folder.bytes(of: "a.nvme") == content)
      #expect(folder.names == ["a", "a.nvme"])
    }
  }

  @Test func `A state file is no image, device, folder or link, and not for two images`() throws {
    #expect(throws: StateFileError.foreign(folder("vm.nvme"))) { try records("vm", "vm.nvme") }
    #expect(try folder.bytes(of: "vm.nvme") == [UInt8](repeating: 0, count: 1 << 20))
    #expect(throws: StateFileError.foreign(folder("vm"))) {
      try records("vm", at: .file(folder("vm")))
    }
    #expect(throws: StateFileError.foreign("/dev/null")) {
      try records("vm", at: .file("/dev/null"))
    }
    #expect(throws: StateFileError.foreign(folder.path)) {
      try records("vm", at: .file(folder.path))
    }
    // A link to what would do.
    try records("vm", at: .file(folder("s")))
    try FileManager.default.createSymbolicLink(
      atPath: folder("link").string, withDestinationPath: folder("s").string)
    let link = folder("link")
    #expect(throws: StateFileError.foreign(link)) { try records("vm", at: .file(link)) }
    #expect(throws: StateFileError.shared(folder("s"), images: 2)) {
      try records("vm", "vm2", at: .file(folder("s")))
    }
  }

  @Test func `A state file is in one place and belongs to one image`() throws {
    try records("a")
    #expect(throws: StateFileError.elsewhere(folder("a.nvme"), wanted: folder("s"))) {
      try records("a", at: .file(folder("s")))
    }
    try folder.move("a.nvme", to: "s")
    try records("a", at: .file(folder("s")))
    // Named by mistake, while it is nobody's at the moment.
    let before = try folder.bytes(of: "s")
    #expect(throws: StateFileError.ofAnother(folder("s"), image: folder("a").string)) {
      try records("b", at: .file(folder("s")), create: 1 << 20)
    }
    #expect(try folder.bytes(of: "s") == before)
    // Copied with it.
    try folder.copy("s", to: "t")
    try folder.copy("a", to: "c")
    let copy = try #require(try records("c", at: .file(folder("t")), create: nil)[0])
    #expect(try copy.identity != records("a", at: .file(folder("s")))[0]?.identity)
  }

  @Test func `A state file has one owner at a time`() throws {
    try records("a", at: .file(folder("s"))) { _ in
      #expect(throws: StateFileError.inUse(folder("s"))) {
        try records("b", at: .file(folder("s")))
      }
    }
  }

  @Test func `A damaged or newer state file is refused and stays as it is`() throws {
    try records("a")
    var bytes = try folder.bytes(of: "a.nvme")
    for place in [100, StateSlots.slotSize + 100] { bytes[place] ^= 1 }
    try folder.write(bytes, to: "a.nvme")
    #expect(throws: StateFileError.damaged(folder("a.nvme"))) { try records("a") }
    bytes[16] = 2
    try folder.write(bytes, to: "a.nvme")
    #expect(throws: StateFileError.newer(folder("a.nvme"), version: 2, known: 1)) {
      try records("a")
    }
    #expect(try folder.bytes(of: "a.nvme") == bytes)
  }

  @Test func `A state file is removed when it was created for nothing, and only then`() throws {
    try records("a") { stores in
      stores[0]?.removeMadeFiles()
      #expect(folder.names == ["a"])
    }
    try records("a")
    try records("a") { stores in stores[0]?.removeMadeFiles() }
    #expect(folder.names == ["a", "a.nvme"])
  }

  @Test func `A state file of an earlier version is upgraded, and each image gets its own part`()
    throws
  {
    let old = """
      {"bytesRead":1,"bytesWritten":2,"hostReads":3,"hostWrites":4,"powerCycles":5,"unsafeShutdowns":6,\
      "mediaErrors":7,"errorLogEntries":8,"busyTime":9,"powerOnTime":10,"isPowered":false,\
      "features":{"1":3},"formats":{"b":4096,"c":77}}
      """
    try folder.write(Array(old.utf8), to: "a.nvme")
    let new = try records("a", "b", "c")
    #expect(new.map { $0?.blockSize } == [nil, 4096, nil])
    #expect(new[0]?.controller?.counters.hostWrites == 4)
    #expect(new[0]?.controller?.features == ["1": 3] && new[1]?.controller == nil)
    #expect(try records("a", "b", "c") == new)
  }
}
