import NVMeProtocol
import TestSupport
import Testing

@testable import NVMeDevice

@Suite struct `Two formats at once` {
  /// Two namespaces of a disk that does nothing before it is let go.
  private struct Bench {
    let engine = HeldEngine()
    let host: TestHost
    var queue: TestHost.Queue
    let formats: [SubmissionEntry]

    init() throws {
      let engine = engine
      host = try TestHost([StorageFile(memory: 1 << 20), StorageFile(memory: 1 << 20)]) {
        $0.makeEngine = { engine }
      }
      try host.enable()
      queue = try host.makeQueue()
      formats = (1...2).map { .admin(.formatNVM, namespace: $0).with { $0.dword10 = 1 } }
    }

    /// Starts both formats, and returns what is under way then.
    mutating func begin() throws -> [UInt16] {
      let ids = formats.map { host.put($0, &host.admin) }
      try host.ring(host.admin)
      return ids
    }
  }

  @Test func `Each of two formats blocks its own namespace until it has ended`() throws {
    var bench = try Bench()
    let host = bench.host
    let ids = try bench.begin()
    #expect(eventually { bench.engine.held.count == 2 })
    let requests = bench.engine.takeHeld()
    var ended: [UInt16] = []
    for (place, request) in requests.enumerated() {
      for (index, id) in ids.enumerated() {
        let status = try host.run(.io(.read, namespace: UInt32(index + 1)), &bench.queue).status
        #expect(status.means(ended.contains(id) ? .success : .formatInProgress))
      }
      bench.engine.carryOut(request)
      ended.append(try host.next(&host.admin).commandID)
      #expect(ended.count == place + 1)
    }
    #expect(Set(ended) == Set(ids))
    for id: UInt32 in 1...2 {
      #expect(try host.run(.identify(.namespace, namespace: id)).status == .success)
      #expect(try IdentifyNamespace(decoding: host.received(4096).span).format.dataShift == 12)
    }
  }

  @Test func `Two formats begin when the commands that they wait for have ended`() throws {
    var bench = try Bench()
    let host = bench.host
    for id: UInt32 in 1...2 { host.put(.io(.verify, namespace: id), &bench.queue) }
    try host.ring(bench.queue)
    #expect(eventually { bench.engine.held == [.read, .read] })
    let ids = try bench.begin()
    let all = host.put(.admin(.formatNVM, namespace: .max), &host.admin)
    try host.ring(host.admin)
    let refused = try host.next(&host.admin)
    #expect(refused.commandID == all && refused.status.means(.formatInProgress))
    bench.engine.letGo()
    let ended = try (0..<2).map { _ in try host.next(&host.admin) }
    #expect(Set(ended.map(\.commandID)) == Set(ids))
    #expect(ended.allSatisfy { $0.status == .success })
    for _ in 0..<2 { #expect(try host.next(&bench.queue).status == .success) }
    #expect(bench.engine.done.count == 4)
  }
}
