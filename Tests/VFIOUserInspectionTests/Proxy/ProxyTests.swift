import LinuxPrimitives
import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserInspection

@Suite(.timeLimit(.minutes(1))) struct `A proxy` {
  private let message = TestSupport.message(.regionRead, id: 7, [UInt8](repeating: 3, count: 16))

  @Test func `Bytes pass in both directions as they are`() throws {
    let bench = try ProxyBench()
    bench.client.sendAll(message, descriptors: DescriptorList())
    #expect(ProxyBench.receive(bench.server, message.count).bytes == message)
    bench.server.sendAll(message + message, descriptors: DescriptorList())
    #expect(ProxyBench.receive(bench.client, 2 * message.count).bytes == message + message)
    #expect(bench.tap.bytes(.toServer) == message)
    #expect(bench.tap.bytes(.toClient) == message + message)
  }

  @Test func `What has come of a message is passed on without its rest`() throws {
    let bench = try ProxyBench()
    for length in [3, 16, 20, message.count] {
      let done = bench.tap.bytes(.toServer).count
      let piece = Array(message[done..<length])
      bench.client.sendAll(piece, descriptors: DescriptorList())
      #expect(ProxyBench.receive(bench.server, piece.count).bytes == piece)
    }
  }

  @Test func `Descriptors arrive with the byte that they were sent with`() throws {
    let bench = try ProxyBench()
    // Messages without and with descriptors are in the queue when the proxy comes to read.
    for tag in 1...40 {
      var list = DescriptorList()
      if tag % 3 == 0 {
        list.append(taggedDescriptor(tag))
        list.append(taggedDescriptor(tag + 1000))
      }
      bench.client.sendAll(message, descriptors: list)
    }
    let (bytes, descriptors) = ProxyBench.receive(bench.server, 40 * message.count)
    #expect(bytes.count == 40 * message.count)
    let wanted = (1...40).filter { $0 % 3 == 0 }.flatMap { [$0, $0 + 1000] }
    #expect(descriptors.map(\.tag) == wanted)
    // A receive ends behind the bytes that brought descriptors, and they come with its first byte at
    // the latest.
    for (place, tag) in descriptors { #expect(place <= (tag % 1000 - 1) * message.count) }
    #expect(bench.tap.notes.map(\.size) == wanted.map { UInt64($0) })
  }

  @Test func `Descriptors in the middle of a message stay there`() throws {
    let bench = try ProxyBench()
    for tag in 1...50 {
      bench.client.sendAll(Array(message[..<16]), descriptors: DescriptorList())
      var list = DescriptorList()
      list.append(taggedDescriptor(tag))
      bench.client.sendAll(Array(message[16...]), descriptors: list)
      #expect(ProxyBench.receive(bench.server, 16).descriptors.isEmpty)
      #expect(ProxyBench.receive(bench.server, 16).descriptors.map(\.tag) == [tag])
    }
  }

  @Test func `A stream that is out of step is passed on all the same`() throws {
    let bench = try ProxyBench()
    var random = SplitMix64(seed: 5)
    let garbage = [UInt8](repeating: 0, count: 16) + random.bytes(100_000)
    bench.client.sendAll(garbage, descriptors: DescriptorList())
    #expect(ProxyBench.receive(bench.server, garbage.count).bytes == garbage)
  }

  @Test(arguments: [511 << 10, 512 << 10, 513 << 10, 3 << 20])
  func `A large message passes`(size: Int) throws {
    let bench = try ProxyBench()
    var random = SplitMix64(seed: UInt64(size))
    let large = TestSupport.message(.regionWrite, random.bytes(size - 16))
    let client = bench.client
    try DetachedThread.start("test-sender") { client.sendAll(large, descriptors: DescriptorList()) }
    #expect(ProxyBench.receive(bench.server, size).bytes == large)
  }

  @Test func `A server that does not read makes the client wait`() throws {
    let bench = try ProxyBench()
    let chunk = TestSupport.message(.regionWrite, [UInt8](repeating: 1, count: 64 << 10))
    var sent = 0
    let deadline = Deadline.after(.seconds(10))
    // The queues of four sockets and one buffer are all that there is.
    while sent < 16 << 20, !deadline.hasPassed {
      let more = unsafe try chunk.span.withUnsafeBytes { unsafe try bench.client.trySend($0) }
      sent += more
      if more == 0,
        try bench.client.wait(for: .writable, before: .after(.milliseconds(300))).isEmpty
      {
        break
      }
    }
    #expect(sent > 0 && sent < 4 << 20)
    #expect(ProxyBench.receive(bench.server, sent).bytes.count == sent)
  }

  @Test func `What a client has sent before it closes arrives, then the end`() throws {
    let bench = try ProxyBench()
    bench.client.sendAll(message + message, descriptors: DescriptorList())
    bench.client.shutdown()
    let got = ProxyBench.receive(bench.server, 1000)
    #expect(got.bytes == message + message)
    #expect(bench.tap.awaits { $0 == .closed(connection: 1, by: .toClient) })
  }

  @Test func `A server that closes is seen by the client`() throws {
    let bench = try ProxyBench()
    bench.server.sendAll(message, descriptors: DescriptorList())
    bench.server.shutdown()
    #expect(ProxyBench.receive(bench.client, 1000).bytes == message)
    #expect(eventually { bench.client.peerHasHungUp })
    #expect(bench.tap.awaits { $0 == .closed(connection: 1, by: .toServer) })
  }

  @Test func `A client without a server is disconnected, and the next one may come`() throws {
    let folder = try ScratchFolder()
    let log = ProxyLog()
    let front = try ListeningSocket(path: .init(folder.path("front")))
    let proxy = try Proxy(front, to: .init(folder.path("server")), log)
    try DetachedThread.start("test-proxy") { proxy.run() }
    defer { proxy.stop(within: .seconds(1)) }
    let lost = try MessageSocket(connectingTo: .init(folder.path("front")))
    #expect(ProxyBench.receive(lost, 1).bytes.isEmpty)
    #expect(log.awaits { if case .refused(1, _) = $0 { true } else { false } })
    let target = try ListeningSocket(path: .init(folder.path("server")))
    let client = try MessageSocket(connectingTo: .init(folder.path("front")))
    let server = MessageSocket(adopting: try target.accept())
    client.sendAll(message, descriptors: DescriptorList())
    #expect(ProxyBench.receive(server, message.count).bytes == message)
  }

  @Test func `A stop passes on what has arrived`() throws {
    let bench = try ProxyBench()
    bench.client.sendAll(message, descriptors: DescriptorList())
    #expect(ProxyBench.receive(bench.server, message.count).bytes == message)
    bench.server.sendAll(message, descriptors: DescriptorList())
    bench.proxy.stop(within: .seconds(5))
    #expect(ProxyBench.receive(bench.client, 1000).bytes == message)
  }

  @Test func `A stop does not wait for a peer that reads nothing`() throws {
    let bench = try ProxyBench()
    let chunk = [UInt8](repeating: 0, count: 4 << 20)
    let client = bench.client
    try DetachedThread.start("test-sender") { client.sendAll(chunk, descriptors: DescriptorList()) }
    #expect(eventually { bench.tap.bytes(.toServer).count > 100_000 })
    let start = ContinuousClock.now
    bench.proxy.stop(within: .milliseconds(100))
    #expect(ContinuousClock.now - start < .seconds(5))
    #expect(!bench.proxy.isBusy)
  }

  @Test func `Connections that have ended leave no descriptor open`() async {
    let result = await #expect(processExitsWith: .success, observing: [\.standardErrorContent]) {
      let folder = try ScratchFolder()
      let target = try ListeningSocket(path: FilePath(folder.path("server")))
      let front = try ListeningSocket(path: FilePath(folder.path("front")))
      let log = ProxyLog()
      let proxy = try Proxy(front, to: FilePath(folder.path("server")), log)
      try DetachedThread.start("test-proxy") { proxy.run() }
      func visit(_ number: Int) throws {
        let client = try MessageSocket(connectingTo: FilePath(folder.path("front")))
        let server = MessageSocket(adopting: try target.accept())
        var list = DescriptorList()
        list.append(taggedDescriptor(number + 1))
        let map = TestSupport.message(.dmaMap, [UInt8](repeating: 0, count: 32))
        client.sendAll(map, descriptors: list)
        precondition(ProxyBench.receive(server, map.count).descriptors.count == 1)
        client.shutdown()
        precondition(log.awaits { $0 == .closed(connection: number, by: .toClient) })
      }
      for number in 1...2 { try visit(number) }
      let before = settledDescriptors()
      for number in 3...20 { try visit(number) }
      // The test runner may open one of its own meanwhile; a leak would be one for each connection.
      precondition(
        eventually { settledDescriptors() < before + 5 },
        "\(settledDescriptors()), \(before) before")
    }
    let said = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(said.isEmpty)
  }
}
