import Foundation
import NVMeProtocol
import SystemPackage
import TestSupport
import Testing
import VFIOUserTransport

@testable import NVMeDevice

/// A block device made of a file; gone with the object.
final class LoopDevice {
  let path: FilePath
  let file: TestFile

  /// - Throws: when this process may not make one.
  init(size: UInt64) throws {
    file = try TestFile(size: size)
    path = FilePath(try Self.run(Self.losetup, "--find", "--show", file.path.string))
  }

  deinit { _ = try? Self.run(Self.losetup, "--detach", path.string) }

  /// Tells the kernel that the file has another size.
  func measure() throws { try Self.run(Self.losetup, "--set-capacity", path.string) }

  private static let losetup = "/usr/sbin/losetup"

  private struct Refused: Error, CustomStringConvertible { let description: String }

  /// - Returns: what it printed, without the newline.
  @discardableResult
  static func run(_ program: String, _ arguments: String...) throws -> String {
    let process = Process()
    process.executableURL = URL(filePath: program)
    process.arguments = arguments
    let output = Pipe()
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    try process.runClosingFiles()
    let said = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      throw Refused(description: "\(program) ends with \(process.terminationStatus)")
    }
    return said.trimmingCharacters(in: .newlines)
  }

  /// Whether there can be any.
  static let isPossible = (try? LoopDevice(size: 1 << 20)) != nil
}

@Suite(
  .enabled(if: LoopDevice.isPossible, "making a loop device takes root and /usr/sbin/losetup"),
  .serialized)
struct `A disk that is a block device` {
  @Test(arguments: CacheMode.allCases, [EngineChoice.pool, .ring])
  func `A disk that is a block device keeps what was written in that device`(
    mode: CacheMode, engine: EngineChoice
  )
    throws
  {
    let loop = try LoopDevice(size: 8 << 20)
    let data = pattern(64 << 10)
    do {
      let storage = try StorageFile(path: loop.path, cache: mode)
      #expect(storage.kind == .blockDevice)
      #expect(try storage.size() == 8 << 20)
      let host = try TestHost([storage], blockSize: 512) { $0.use(engine) }
      try host.enable()
      var queue = try host.makeQueue()
      #expect(try host.run(.identify(.namespace, namespace: 1)).status == .success)
      #expect(try IdentifyNamespace(decoding: host.received(4096).span).size == 16384)
      host.provide(data)
      let write = SubmissionEntry.io(.write, block: 128, blocks: 8)
      #expect(try host.run(write, &queue).status == .success)
      // The last blocks, and one beyond.
      let last = write.with { $0.startingBlock = 16384 - 8 }
      #expect(try host.run(last, &queue).status == .success)
      let beyond = write.with { $0.startingBlock = 16384 - 7 }
      #expect(try host.run(beyond, &queue).status.means(.lbaOutOfRange))
      #expect(try host.run(.init(opcode: 0, namespaceID: 1), &queue).status == .success)
      host.provide([UInt8](repeating: 0, count: 4096))
      #expect(try host.run(.io(.read, block: 128, blocks: 8), &queue).status == .success)
      #expect(host.received(4096) == Array(data[..<4096]))
    }
    // The device is closed, so it is in the file whose device this is.
    let content = try Data(contentsOf: URL(filePath: loop.file.path.string))
    #expect(content[65536..<69632] == Data(data[..<4096]))
    #expect(content.suffix(4096) == Data(data[..<4096]))
  }

  @Test func `A disk that is a block device deallocates blocks and has zeros there`() throws {
    let loop = try LoopDevice(size: 8 << 20)
    let host = try TestHost([StorageFile(path: loop.path)], blockSize: 4096)
    try host.enable()
    var queue = try host.makeQueue()
    let ones = [UInt8](repeating: 0xFF, count: 8192)
    for operation in ["zeroes", "zeroes and room", "deallocate"] {
      host.provide(ones)
      let write = SubmissionEntry.io(.write, blocks: 2).with {
        $0.dataPointer2 = TestHost.data + 4096
      }
      #expect(try host.run(write, &queue).status == .success)
      switch operation {
      case "deallocate":
        var bytes = [UInt8](repeating: 0, count: DatasetRange.wireSize)
        bytes[4] = 1
        host.provide(bytes)
        let entry = SubmissionEntry.io(.datasetManagement).with {
          $0.dword10 = 0
          $0.dword11 = 4
          $0.dword12 = 0
        }
        #expect(try host.run(entry, &queue).status == .success)
      default:
        let entry = SubmissionEntry.io(.writeZeroes).with {
          if operation != "zeroes" { $0.dword12 |= 1 << 25 }
        }
        #expect(try host.run(entry, &queue).status == .success)
      }
      let read = write.with { $0.opcode = IOOpcode.read.rawValue }
      #expect(try host.run(read, &queue).status == .success)
      #expect(
        host.received(8192) == [UInt8](repeating: 0, count: 4096) + ones[4096...], "\(operation)")
    }
  }

  @Test func `A block device is one disk under each of its device nodes`() throws {
    let loop = try LoopDevice(size: 1 << 20)
    let folder = try TestFolder()
    let other = folder("node")
    try LoopDevice.run("/bin/cp", "--archive", loop.path.string, other.string)
    var writer: StorageFile? = try StorageFile(path: loop.path)
    for path in [loop.path, other] {
      #expect(throws: SystemCallError(call: "open", code: .resourceBusy)) {
        _ = try StorageFile(path: path)
      }
    }
    #expect(writer?.alignment == 1)
    writer = nil
    writer = try StorageFile(path: other)
  }

  @Test func `A block device is not served while it is mounted`() throws {
    let loop = try LoopDevice(size: 4 << 20)
    try LoopDevice.run("/sbin/mke2fs", "-q", loop.path.string)
    let folder = try TestFolder()
    try LoopDevice.run("/bin/mount", loop.path.string, folder.path.string)
    defer { _ = try? LoopDevice.run("/bin/umount", folder.path.string) }
    #expect(throws: SystemCallError(call: "open", code: .resourceBusy)) {
      _ = try StorageFile(path: loop.path)
    }
  }

  @Test func `A block device is write-protected when the kernel makes it read-only`() throws {
    let loop = try LoopDevice(size: 1 << 20)
    #expect(try !StorageFile(path: loop.path).isReadOnly)
    try LoopDevice.run("/sbin/blockdev", "--setro", loop.path.string)
    defer { _ = try? LoopDevice.run("/sbin/blockdev", "--setrw", loop.path.string) }
    // Some kernels let it be opened for writing.
    let opened = try? StorageFile(path: loop.path)
    #expect(opened?.isReadOnly != false)
    if opened == nil {
      #expect(throws: SystemCallError(call: "open", code: .permissionDenied)) {
        _ = try StorageFile(path: loop.path)
      }
    }
  }

  @Test func `A block device keeps its block size and its identity in the state folder`() throws {
    let (loop, state) = (try LoopDevice(size: 1 << 20), try TestFolder())
    var ids: [[UInt8]] = []
    for place in [StatePlace.beside(otherwise: state.path), .folder(state.path)] {
      let host = try keptHost([loop.path], at: place)
      try host.enable()
      if ids.isEmpty { #expect(try host.format() == .success) }
      let identity = try host.identity(of: 1)
      #expect(identity.format.dataShift == 12)
      ids.append(identity.globallyUniqueID)
    }
    #expect(ids[0] == ids[1] && state.names.count == 1)
  }

  @Test func `A block device is not enlarged by a requested size`() throws {
    let loop = try LoopDevice(size: 1 << 20)
    #expect(try StorageFile(path: loop.path, create: 2 << 20).size() == 1 << 20)
  }

  @Test func `A block device that has grown raises a namespace changed event`() throws {
    let loop = try LoopDevice(size: 1 << 20)
    let host = try TestHost([StorageFile(path: loop.path)])
    try host.enable()
    host.put(.admin(.asynchronousEventRequest), &host.admin)
    #expect(try host.run(.set(.asynchronousEvents, 1 << 8)).status == .success)
    let descriptor = try FileDescriptor.open(loop.file.path, .readWrite)
    try descriptor.closeAfter { try descriptor.resize(to: 3 << 20) }
    try loop.measure()
    host.device.measure()
    let event = try host.next(&host.admin)
    #expect(AsynchronousEvent(rawValue: event.result) == .namespaceChanged)
    #expect(try host.run(.identify(.namespace, namespace: 1)).status == .success)
    #expect(try IdentifyNamespace(decoding: host.received(4096).span).size == 6144)
  }
}
