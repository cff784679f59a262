import LinuxPrimitives
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserInspection

/// The tag of the first descriptor, which is closed.
private func firstTag(_ descriptors: inout DescriptorList) -> Int? {
  guard let first = descriptors.takeFirst() else { return nil }
  return tag(of: first)
}

@Suite(.timeLimit(.minutes(1))) struct `A proxy and the twin socket` {
  private let json = #"{"capabilities":{"twin_socket":{"supported":true,"fd_index":1}}}"#

  /// A bench whose server has passed a socket between two other descriptors.
  private func opened() throws -> (ProxyBench, server: MessageSocket, client: MessageSocket) {
    let bench = try ProxyBench()
    let (ours, theirs) = try MessageSocket.pair()
    var list = DescriptorList()
    list.append(taggedDescriptor(11))
    list.append(try theirs.descriptor.duplicate())
    list.append(taggedDescriptor(13))
    let reply = message(.version, flags: .reply, version(json))
    bench.server.sendAll(reply, descriptors: list)
    let peer = ScriptedPeer(bench.client)
    var twin: MessageSocket?
    let answer = try peer.receive { descriptors in
      #expect(firstTag(&descriptors) == 11)
      if let second = descriptors.takeFirst() { twin = MessageSocket(adopting: second) }
      #expect(firstTag(&descriptors) == 13)
    }
    #expect(answer.descriptorCount == 3)
    return (bench, ours, try #require(twin))
  }

  @Test func `The proxy stands between both sides of the second socket`() throws {
    let (bench, server, client) = try opened()
    let read = message(.dmaRead, bytes(of: DMAAccess(address: 0, count: 4)))
    server.sendAll(read, descriptors: DescriptorList())
    #expect(ProxyBench.receive(client, read.count).bytes == read)
    client.sendAll(read, descriptors: DescriptorList())
    #expect(ProxyBench.receive(server, read.count).bytes == read)
    #expect(bench.tap.bytes(.toClient, isTwin: true) == read)
    #expect(bench.tap.bytes(.toServer, isTwin: true) == read)
    #expect(bench.tap.events.contains(.twin(connection: 1)))
  }

  @Test func `A reply to VERSION that comes in pieces is understood`() throws {
    let bench = try ProxyBench()
    let (_, theirs) = try MessageSocket.pair()
    let one = #"{"capabilities":{"twin_socket":{"supported":true,"fd_index":0}}}"#
    let reply = message(.version, flags: .reply, version(one))
    var list = DescriptorList()
    list.append(try theirs.descriptor.duplicate())
    bench.server.sendAll(Array(reply[..<5]), descriptors: list)
    bench.server.sendAll(Array(reply[5..<20]), descriptors: DescriptorList())
    bench.server.sendAll(Array(reply[20...]), descriptors: DescriptorList())
    #expect(try ScriptedPeer(bench.client).receive().descriptorCount == 1)
    #expect(bench.tap.awaits { $0 == .twin(connection: 1) })
  }

  @Test(arguments: [0, 2])
  func `A descriptor that is no socket, or not there, is passed as it is`(index: Int) throws {
    let bench = try ProxyBench()
    let odd = #"{"capabilities":{"twin_socket":{"supported":true,"fd_index":\#(index)}}}"#
    var list = DescriptorList()
    list.append(taggedDescriptor(21))
    bench.server.sendAll(message(.version, flags: .reply, version(odd)), descriptors: list)
    let answer = try ScriptedPeer(bench.client).receive { descriptors in
      #expect(firstTag(&descriptors) == 21)
    }
    #expect(answer.descriptorCount == 1)
    #expect(!bench.tap.events.contains(.twin(connection: 1)))
  }

  @Test(arguments: [5, 30])
  func `A reply to VERSION that ends too early is passed on as far as it came`(length: Int) throws {
    let bench = try ProxyBench()
    let piece = Array(message(.version, flags: .reply, version(json))[..<length])
    bench.server.sendAll(piece, descriptors: DescriptorList())
    bench.server.shutdown()
    #expect(ProxyBench.receive(bench.client, 1000).bytes == piece)
  }
}
