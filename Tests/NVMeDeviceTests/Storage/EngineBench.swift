import KernelRing
import SystemPackage
import TestSupport
import Testing
import VFIOUserServer
import VFIOUserTransport

@testable import NVMeDevice

/// The engines that have to do the same.
enum EngineKind: CaseIterable, CustomTestStringConvertible {
  case pool
  /// With few entries, so that tests see it full.
  case ring

  /// Those that this machine lets us have.
  static var available: [EngineKind] { Ring.unavailability == nil ? [.pool, .ring] : [.pool] }

  func make() throws -> any StorageEngine {
    switch self {
    case .pool: try ThreadPool(threads: 2)
    case .ring: try RingEngine(entries: 8)
    }
  }

  var testDescription: String { "\(self)" }
}

/// An engine between a file and the memory of a client, without a controller.
final class EngineBench: StorageReceiver, @unchecked Sendable {
  // Sound: what an engine's threads call touches `done` only.
  static let blockSize = 4096

  private let file: TestFile
  private let host: TestHost
  private let bus: DeviceContext
  private let done = Monitor<[Int: [StorageRequest.Outcome]]>([:])
  let storage: StorageFile
  let engine: any StorageEngine
  let generations = ControllerGenerations()

  /// - Parameter blocks: how large the file is; each byte of it is the number of its block.
  init(
    _ engine: any StorageEngine, blocks: Int = 64, cache: CacheMode = .writeBack,
    isShared: Bool = true, isReadOnly: Bool = false
  ) throws {
    self.engine = engine
    file = try TestFile(size: UInt64(blocks * Self.blockSize))
    let content = try FileDescriptor.open(file.path, .writeOnly)
    for block in 0..<blocks {
      _ = try content.writeAll(
        [UInt8](repeating: UInt8(truncatingIfNeeded: block), count: Self.blockSize))
    }
    try content.close()
    storage = try StorageFile(path: file.path, cache: cache, isReadOnly: isReadOnly)
    host = try TestHost(isShared: isShared)
    bus = host.device.context
  }

  /// Makes the file shorter behind the engine's back.
  func truncate(to blocks: Int) throws { try truncate(toBytes: blocks * Self.blockSize) }

  func truncate(toBytes bytes: Int) throws {
    let content = try FileDescriptor.open(file.path, .writeOnly)
    try content.resize(to: Int64(bytes))
    try content.close()
  }

  /// Pages of the file that are in the page cache only.
  func dirtyPages() -> Int { TestSupport.dirtyPages(of: file.path.string) }

  /// What stands in a block of the file.
  func content(of block: Int) throws -> Set<UInt8> {
    let content = try FileDescriptor.open(file.path, .readOnly)
    defer { try? content.close() }
    var bytes = [UInt8](repeating: 0, count: Self.blockSize)
    _ = try unsafe bytes.withUnsafeMutableBytes {
      try unsafe content.read(fromAbsoluteOffset: Int64(block * Self.blockSize), into: $0)
    }
    return Set(bytes)
  }

  /// Where in the client's memory the data of a tag goes.
  static func place(_ tag: Int) -> UInt64 { TestHost.data + UInt64(tag % 512 * blockSize) }

  /// What stands there.
  func received(_ tag: Int) -> Set<UInt8> {
    Set(host.received(Self.blockSize, at: Self.place(tag)))
  }

  func provide(_ value: UInt8, _ tag: Int) {
    host.provide([UInt8](repeating: value, count: Self.blockSize), at: Self.place(tag))
  }

  /// Gives the engine a request of one block, of a generation that has just ended if it is stale.
  func submit(
    _ operation: StorageRequest.Operation, _ tag: Int, block: Int = 0, at address: UInt64? = nil,
    isStale: Bool = false
  ) {
    let request = StorageRequest(
      tag: tag, storage: storage, access: bus.memory.access(), receiver: self,
      generations: generations)
    request.generation = generations.current
    if isStale { generations.end() }
    request.operation = operation
    request.offset = UInt64(block * Self.blockSize)
    request.count = UInt64(Self.blockSize)
    request.ranges = [
      GuestRange(address: address ?? Self.place(tag), count: UInt64(Self.blockSize))
    ]
    engine.submit(request)
  }

  /// Gives the engine one request, and waits for it.
  func perform(
    _ operation: StorageRequest.Operation, _ tag: Int = 0, block: Int = 0, at address: UInt64? = nil
  ) -> [StorageRequest.Outcome] {
    submit(operation, tag, block: block, at: address)
    engine.flush()
    _ = eventually { done.withLock { $0[tag] != nil } }
    return done.withLock { $0[tag] ?? [] }
  }

  func completed(_ request: StorageRequest) {
    done.update { $0[request.tag, default: []].append(request.outcome) }
  }

  /// How the requests that have come back went, each of them.
  var outcomes: [Int: [StorageRequest.Outcome]] { done.withLock { $0 } }
}

extension EngineBench {
  /// Whether the kernel tells of dirty pages, and the test files are on a disk.
  static let seesDirtyPages: Bool = {
    guard let bench = try? EngineBench(ThreadPool(threads: 1), blocks: 1) else { return false }
    let before = bench.dirtyPages()
    return before == 1 && bench.perform(.flush) == [.success] && bench.dirtyPages() == 0
  }()
}
