import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

@Suite struct `Messages sent before the reply to VERSION` {
  /// A message above 64 KiB may only be sent once the version was agreed; a client that does not wait for the
  /// answer has agreed by then.
  @Test
  func `Messages sent before the VERSION reply may exceed 64 KiB and do not lose descriptors`()
    throws
  {
    let bench = try HostileBench()
    let peer = try bench.connect(negotiated: false)
    peer.send(ScriptedPeer.versionOfQEMU)
    let access = RegionAccess(offset: 0, region: .bar2, count: 0xF000)
    let write = message(
      .regionWrite, bytes(of: access) + [UInt8](repeating: 0x5A, count: 0xF000))
    let large = message(
      .deviceFeature, words([0x2_0000, 1]) + [UInt8](repeating: 0, count: 0x1_FFF0))
    peer.send(large + write)
    let memory = try TruncatableMemory(size: 0x10000)
    var descriptors = DescriptorList()
    descriptors.append(try memory.lent())
    let map = DMAMap(flags: [.readable, .writable], address: 0x10000, size: 0x10000)
    peer.send(message(.dmaMap, id: 7, bytes(of: map)), descriptors: descriptors)
    #expect(try peer.receive().header.command == .version)
    #expect(try peer.receive().header.command == .deviceFeature)
    #expect(try peer.receive().errno == nil)
    let mapped = try peer.receive()
    #expect(mapped.header.id == 7 && mapped.errno == nil)
    #expect(try peer.ask(message(.deviceReset)).errno == nil)
    // The window is mapped: one that is reached by messages would fail in a callback.
    #expect(try peer.ask(HostileBench.order(.load, 0x10000)).errno == nil)
  }
}

@Suite struct `Messages in two pieces` {
  /// The time of a message ends with the message: a second one has a time of its own.
  @Test(arguments: Driver.allCases, [0, 1])
  func `Each message received in two pieces has a deadline of its own`(
    _ driver: Driver, _ pause: Int
  ) throws {
    let client = try ServedClient(driver) { $0.messageTimeout = .milliseconds(400) }
    for round in 0..<4 as Range<UInt16> {
      let request = ServedClient.read(id: 20 + round)
      client.send(Array(request[..<9]))
      _ = eventually(within: .milliseconds(200)) { false }
      client.send(Array(request[9...]))
      #expect(try client.next(1) == [[20 + UInt32(round), nil]])
      if pause == 1 { _ = eventually(within: .milliseconds(250)) { false } }
    }
  }
}
