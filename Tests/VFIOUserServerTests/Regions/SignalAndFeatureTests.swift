import Glibc
import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

@Suite struct `Signal areas of regions` {
  func request(_ index: UInt32, argumentSize: UInt32 = 4096) -> [UInt8] {
    message(.deviceGetRegionIOFDs, words([argumentSize, 0, index, 0]))
  }

  @Test func `GET_REGION_IO_FDS describes signal areas and sends each descriptor once`() throws {
    let peer = try Bench().peer()
    let answer = try peer.ask(request(0))
    let reply = try RegionIOFDsReply(decoding: answer.payload.span)
    #expect(answer.descriptorCount == 2)
    #expect(
      reply.subRegions
        == [
          SubRegion(kind: .event, offset: 0x10, size: 4, descriptorIndex: 0),
          SubRegion(
            kind: .event, offset: 0x14, size: 4, descriptorIndex: 0, flags: .dataMatch, value: 5),
          SubRegion(kind: .event, offset: 0x20, size: 0, descriptorIndex: 1),
        ])
    let ports = try peer.ask(request(5))
    #expect(ports.descriptorCount == 1)
    #expect(
      try RegionIOFDsReply(decoding: ports.payload.span).subRegions
        == [
          SubRegion(
            kind: .region, offset: 0, size: 32, descriptorIndex: 0,
            flags: [.regionPortIO, .postedWrites], value: 99)
        ])
  }

  @Test func `A signal area wakes the device that waits on its eventfd`() throws {
    let bench = try Bench()
    let peer = try bench.peer()
    peer.send(request(0))
    var clients: [EventFD] = []
    _ = try peer.receive { descriptors in
      while let descriptor = descriptors.takeFirst() {
        clients.append(EventFD(adopting: descriptor))
      }
    }
    clients[0].signal()
    clients[0].signal()
    #expect(try bench.device.bus.counter("doorbell")?.wait(for: .seconds(10)) == 2)
    #expect(try bench.device.bus.counter("queue")?.take() == 0)
    #expect(try bench.device.bus.counter("ports") == nil)
    #expect(try bench.device.bus.socket("ports") != nil)
    #expect(try bench.device.bus.socket("doorbell") == nil)
  }

  @Test
  func `An ioregionfd socket carries accesses and replies, also after the client disconnects`()
    throws
  {
    let bench = try Bench()
    let peer = try bench.peer()
    peer.send(request(5))
    var clients: [MessageSocket] = []
    _ = try peer.receive { descriptors in
      while let descriptor = descriptors.takeFirst() {
        clients.append(MessageSocket(adopting: descriptor))
      }
    }
    let device = try #require(try bench.device.bus.socket("ports"))
    let client = try #require(clients.first)
    // A write of four bytes to port 8, and its answer: `struct ioregionfd_cmd`, `struct ioregionfd_resp`.
    let command = words([0x0000_0029, 0]) + longs(99, 8, 0xCAFE)
    let answer = longs(0xCAFE, 0, 0, 0)
    for (from, to, bytes) in [(client, device, command), (device, client, answer)] {
      let sent = from.withDescriptor { unsafe send($0, bytes, bytes.count, 0) }
      #expect(sent == 32)
      var got = [UInt8](repeating: 0, count: 64)
      let count = to.withDescriptor { unsafe recv($0, &got, 64, 0) }
      #expect(count == 32 && Array(got[..<32]) == bytes)
    }
    // The client has gone, its copy of the socket has not: what it sends is still heard.
    peer.socket.shutdown()
    #expect(eventually { bench.device.state.withLock { $0.departures } == 1 })
    let late = client.withDescriptor { unsafe send($0, command, 32, 0) }
    #expect(late == 32)
  }

  @Test func `GET_REGION_IO_FDS with a small argsz reports the count and sends no descriptor`()
    throws
  {
    let answer = try Bench().peer().ask(request(0, argumentSize: 135))
    let reply = try RegionIOFDsReply(decoding: answer.payload.span)
    #expect(reply.argumentSize == 136)
    #expect(reply.count == 3)
    #expect(!reply.isComplete)
    #expect(answer.descriptorCount == 0)
  }

  @Test func `GET_REGION_IO_FDS reports no more descriptors than the client accepts in a message`()
    throws
  {
    let proposal = Array(#"{"capabilities":{"max_msg_fds":1}}"#.utf8)
    let peer = try Bench().peer(message(.version, [0, 0, 1, 0] + proposal + [0]))
    let answer = try peer.ask(request(0))
    #expect(answer.descriptorCount == 1)
    // Both areas of the first descriptor; that of the second is written to by messages.
    let reply = try RegionIOFDsReply(decoding: answer.payload.span)
    #expect(reply.subRegions.map(\.offset) == [0x10, 0x14])
    #expect(reply.subRegions.map(\.descriptorIndex) == [0, 0])
    #expect(reply.count == 2 && reply.argumentSize == 16 + 2 * 40)
  }

  @Test func `GET_REGION_IO_FDS reports nothing for regions without signal areas`() throws {
    let peer = try Bench().peer()
    for index: UInt32 in [1, 2, 3, 4, 6, 7, 8, 9] {
      let answer = try peer.ask(request(index))
      #expect(try RegionIOFDsReply(decoding: answer.payload.span).count == 0)
      #expect(answer.descriptorCount == 0)
    }
  }

  @Test(arguments: [
    words([4096, 0, 10, 0]), words([4096, 0, .max, 0]), words([15, 0, 0, 0]),
    words([4096, 1, 0, 0]),
    words([4096, 0, 0, 1]), words([4096, 0, 0]), words([4096, 0, 0, 0, 0]),
  ])
  func `GET_REGION_IO_FDS with a malformed request is refused with EINVAL`(payload: [UInt8]) throws
  {
    let answer = try Bench().peer().ask(message(.deviceGetRegionIOFDs, payload))
    #expect(answer.errno == UInt32(Errno.invalidArgument.rawValue))
  }
}

/// A feature of eight bytes that can be read and written, and one that can only be written.
private final class Memo: DeviceFeatureHandler {
  let methods: FeatureMethods
  let value = Monitor<[UInt8]>([1, 2, 3, 4, 5, 6, 7, 8])
  init(_ methods: FeatureMethods) { self.methods = methods }

  func replySize(for data: Span<UInt8>) throws(Errno) -> Int { 8 }
  func get(_ data: Span<UInt8>, into reply: inout MutableRawSpan) throws(Errno) {
    guard data.isEmpty else { throw .invalidArgument }
    let bytes = value.withLock { $0 }
    for place in bytes.indices {
      reply.storeBytes(of: bytes[place], toByteOffset: place, as: UInt8.self)
    }
  }
  func set(_ data: Span<UInt8>) throws(Errno) -> [UInt8] {
    guard data.count == 8 else { throw .invalidArgument }
    value.withLock { value in value = data.copied() }
    return data.copied()
  }
}

@Suite struct `Device features` {
  static let both = UInt32(77)
  static let setOnly = UInt32(78)
  static let get: UInt32 = 1 << 16
  static let set: UInt32 = 1 << 17
  static let probe: UInt32 = 1 << 18

  private let bench: Bench
  private let peer: ScriptedPeer
  init() throws {
    bench = try Bench(features: [
      FeatureIndex(rawValue: 77): Memo([.get, .set]), FeatureIndex(rawValue: 78): Memo(.set),
    ])
    peer = try bench.peer()
  }

  func ask(_ flags: UInt32, size: UInt32 = 16, _ data: [UInt8] = []) throws -> ScriptedPeer.Answer {
    try peer.ask(message(.deviceFeature, words([size, flags]) + data))
  }

  @Test func `Device features can be read with GET and written with SET`() throws {
    #expect(
      try ask(Self.both | Self.get).payload
        == words([16, Self.both | Self.get]) + [1, 2, 3, 4, 5, 6, 7, 8])
    #expect(
      try ask(Self.both | Self.set, [8, 7, 6, 5, 4, 3, 2, 1]).payload
        == words([16, Self.both | Self.set]) + [8, 7, 6, 5, 4, 3, 2, 1])
    #expect(try ask(Self.both | Self.get).payload.suffix(8) == [8, 7, 6, 5, 4, 3, 2, 1])
  }

  @Test func `DEVICE_FEATURE with PROBE reports which methods a feature supports`() throws {
    for (flags, isPossible) in [
      (Self.both | Self.probe, true), (Self.both | Self.probe | Self.get, true),
      (Self.both | Self.probe | Self.get | Self.set, true), (Self.setOnly | Self.probe, true),
      (Self.setOnly | Self.probe | Self.set, true), (Self.setOnly | Self.probe | Self.get, false),
      (Self.setOnly | Self.get, false), (1 | Self.probe, false), (1 | Self.get, false),
      (2 | Self.set, false), (0xFFFF | Self.probe | Self.get | Self.set, false),
    ] as [(UInt32, Bool)] {
      let answer = try ask(flags)
      #expect(answer.errno == (isPossible ? nil : UInt32(Errno.notSupported.rawValue)))
      if isPossible, flags & Self.probe != 0 { #expect(answer.payload == words([16, flags])) }
    }
  }

  @Test(arguments: [both | set, both | probe, both | probe | set], [16, 100] as [UInt32])
  func `The reply to SET and PROBE is the request again`(flags: UInt32, size: UInt32) throws {
    let data: [UInt8] = [8, 7, 6, 5, 4, 3, 2, 1]
    #expect(try ask(flags, size: size, data).payload == words([size, flags]) + data)
  }

  @Test(arguments: [
    words([16, both | get | set]), words([16, both]), words([16, both | get | 1 << 19]),
    words([16, both | get | 1 << 31]), words([7, both | get]), words([16]), [],
    words([15, both | get]), words([16, both | get, 0]), words([16, both | set, 0]),
    words([16, both | set]),
  ])
  func `DEVICE_FEATURE with a malformed request is refused with EINVAL`(payload: [UInt8]) throws {
    let answer = try peer.ask(message(.deviceFeature, payload))
    #expect(answer.errno == UInt32(Errno.invalidArgument.rawValue))
    #expect(try ask(Self.both | Self.get).errno == nil)
  }

  @Test func `DEVICE_FEATURE with the no-reply flag gets no reply`() throws {
    for flags in [Self.both | Self.get, Self.both | Self.probe, 1 | Self.get, Self.both] {
      peer.send(message(.deviceFeature, flags: .noReply, words([16, flags])))
    }
    #expect(try ask(Self.both | Self.get).payload.count == 16)
  }
}
