import NVMeProtocol
import Testing

@testable import NVMeDevice

@Suite struct `What a serving thread moves at once` {
  private static let now: UInt64 = 1_000_000_000

  private func namespace(_ file: StorageFile) throws -> Namespace {
    try Namespace(id: 1, NamespaceConfiguration(file), globallyUniqueID: [], uuid: [])
  }

  private func budgets(
    _ namespace: Namespace, _ operation: StorageRequest.Operation
  ) -> [UInt64] {
    [ServingThread.controller, .connection].map {
      namespace.inlineBudget(of: operation, on: $0, at: Self.now)
    }
  }

  @Test func `Memory is read and written at once, by the connection's thread a page of it`() throws
  {
    let namespace = try namespace(StorageFile(memory: 1 << 20))
    #expect(budgets(namespace, .read) == [128 << 10, 4096])
    #expect(budgets(namespace, .write(durable: false)) == [128 << 10, 4096])
  }

  @Test func `What has to reach a disk is the engine's`() throws {
    let namespace = try namespace(StorageFile(memory: 1 << 20))
    for operation: StorageRequest.Operation in [
      .write(durable: true), .flush, .zero(deallocate: true, durable: false),
      .deallocate(durable: false),
    ] {
      #expect(budgets(namespace, operation) == [0, 0], "\(operation)")
    }
  }

  @Test(arguments: [CacheMode.writeThrough, .direct])
  func `A file without a write-back cache is the engine's`(cache: CacheMode) throws {
    let place = try TestFile(size: 1 << 20)
    guard let file = try? StorageFile(path: place.path, cache: cache) else { return }
    let namespace = try namespace(file)
    #expect(budgets(namespace, .read) == [0, 0])
    #expect(budgets(namespace, .write(durable: false)) == [0, 0])
  }

  @Test func `A write leaves the serving thread during a heavy request, and after a slow write`()
    throws
  {
    let place = try TestFile(size: 1 << 20)
    var namespace = try namespace(StorageFile(path: place.path))
    guard !namespace.storage.isInMemory else { return }
    #expect(budgets(namespace, .write(durable: false)) == [128 << 10, 0])
    namespace.writing.took(from: 0, to: Self.now)
    #expect(budgets(namespace, .write(durable: false)) == [0, 0])
    #expect(budgets(namespace, .read) == [128 << 10, 4096])
    namespace = try self.namespace(StorageFile(memory: 1 << 20))
    let parts = try ControllerParts()
    let slot = try #require(parts.slots.take())
    _ = slot.asksFlush(of: namespace.storage)
    namespace.claims.add(slot.request)
    #expect(budgets(namespace, .write(durable: false)) == [0, 0])
    #expect(budgets(namespace, .read) == [128 << 10, 4096])
    namespace.claims.remove(slot.request)
    #expect(budgets(namespace, .write(durable: false)) == [128 << 10, 4096])
  }
}
