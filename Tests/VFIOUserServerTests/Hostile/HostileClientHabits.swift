import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

// What a hostile client does that nobody is known to have fallen for.

private func access(_ offset: UInt64, _ region: UInt32, _ count: UInt32, _ data: [UInt8] = [])
  -> [UInt8]
{
  bytes(of: RegionAccess(offset: offset, region: RegionIndex(rawValue: region), count: count))
    + data
}

private func map(_ address: UInt64, _ size: UInt64, flags: UInt32 = 3) -> [UInt8] {
  message(.dmaMap, words([32, flags]) + longs(0, address, size))
}

private func list(_ descriptors: () throws -> [OwnedNumber]) rethrows -> DescriptorList {
  DescriptorList(adopting: try descriptors().map(\.number))
}

/// A number on its way into a list.
private struct OwnedNumber {
  let number: Int32
  init(_ descriptor: consuming OwnedDescriptor) { number = descriptor.release() }
}

private func eventfds(_ count: Int) throws -> DescriptorList {
  try list { try counters(count).map { OwnedNumber(try $0.descriptor.duplicate()) } }
}

private func version(_ json: String) -> [UInt8] {
  message(.version, [0, 0, 1, 0] + Array(json.utf8) + [0])
}

/// A client whose memory is reached by messages, and the first request that the device made.
private func withRequest(
  _ bench: HostileBench, _ body: (ScriptedPeer, ScriptedPeer.Answer) throws -> Void
) throws {
  let peer = try bench.connect()
  // Neither like QEMU's first releases nor like anything: no question about the layout comes first.
  #expect(try peer.ask(map(0x10000, 0x10000)).errno == nil)
  #expect(try peer.ask(HostileBench.order(.copy, 0x10000)).errno == nil)
  var request = try peer.receive()
  if request.payload.count >= 16, request.payload[12] == 1 {
    peer.send(message(.dmaRead, id: request.header.id, flags: [.reply, .error], error: 22))
    request = try peer.receive()
  }
  try body(peer, request)
}

extension Hostility {
  static let habits = beginnings + messages + dma + windows + signals + registers

  static let beginnings: [Hostility] = [
    .closing("claims impossible sizes") {
      [0, 1, 15, 65_537, 1 << 31, .max].map { message(.version, size: $0) }
    },
    .closing("begins with every command but VERSION") {
      (2...18).map { message(Command(rawValue: $0), [UInt8](repeating: 0, count: 32)) }
    },
    .closing("speaks HTTP, TLS and nonsense") {
      var random = SplitMix64(seed: 3)
      return [
        Array("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".utf8),
        [0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3] + random.bytes(500),
        [UInt8](repeating: 0, count: 60_000), random.bytes(60_000),
        [UInt8](repeating: 0xFF, count: 60_000),
      ]
    },
    .closing("answers before it was asked") {
      [message(.version, flags: .reply), message(.dmaRead, flags: .reply, longs(0, 4))]
    },
    .closing("wants no answer to its VERSION") {
      [message(.version, flags: .noReply, [0, 0, 1, 0])]
    },
    .surviving("has names without end in its VERSION") {
      let names = (0..<3000).map { "\"x\($0)\":1" }.joined(separator: ",")
      return [
        version("{\"capabilities\":{\(names)}") /* one bracket short */,
        version("{\"capabilities\":{\"max_msg_fds\":1,\"max_msg_fds\":-1}}"),
        version("{\"capabilities\":{\"pgsizes\":0}}"),
        version("{\"capabilities\":{\"max_dma_maps\":0}}"),
        version("{\"capabilities\":{\"max_msg_fds\":99999999999999999999}}"),
      ]
    },
    .init("comes and goes a hundred times") { bench in
      for _ in 0..<100 { try bench.connect(negotiated: false).socket.shutdown() }
    },
    .init("leaves in the middle of its VERSION") { bench in
      for end in [1, 15, 16, 17, 100] {
        let peer = try bench.connect(negotiated: false)
        peer.send(Array(ScriptedPeer.versionOfQEMU.prefix(end)))
        peer.socket.shutdown()
      }
    },
    .init("says nothing") { bench in
      try bench.connect(negotiated: false).expectClosing()
    },
    .init("sends two hundred descriptors with its VERSION") { bench in
      let peer = try bench.connect(negotiated: false)
      let answer = try peer.ask(ScriptedPeer.versionOfQEMU, descriptors: eventfds(200))
      #expect(answer.errno == nil)
      try peer.checkStep()
    },
    .init("negotiates again and again", refused: .invalidArgument) {
      [ScriptedPeer.versionOfQEMU, ScriptedPeer.versionOfQEMU]
    },
  ]

  static let messages: [Hostility] = [
    .init("names sizes that were not agreed") { bench in
      for size in [0, 15, 16 + 16 + (1 << 20) + 1, .max] as [UInt32] {
        let peer = try bench.connect()
        peer.send(message(.regionWrite, size: size))
        try peer.expectClosing()
      }
    },
    .init("sends messages of unknown types") { bench in
      for type in 2...15 as ClosedRange<UInt32> {
        let peer = try bench.connect()
        peer.send(message(.deviceReset, flags: MessageFlags(rawValue: type)))
        try peer.expectClosing()
      }
    },
    .init("sets each reserved flag", refused: .invalidArgument) {
      (6..<32).map { message(.deviceReset, flags: MessageFlags(rawValue: 1 << $0)) }
    },
    .init("sends nonsense once it is known") { bench in
      for seed in 0..<20 as Range<UInt64> {
        var random = SplitMix64(seed: seed)
        let peer = try bench.connect()
        peer.send(random.bytes(4096))
        peer.socket.shutdown()
      }
    },
    .init("sends random payloads to every command") { bench in
      var random = SplitMix64(seed: 11)
      let peer = try bench.connect()
      for round in 0..<600 {
        let command = Command(rawValue: UInt16(2 + round % 17))
        if command == .dmaRead || command == .dmaWrite { continue }
        let payload = random.bytes(Int(random.next() % 64))
        _ = try peer.ask(message(command, id: UInt16(round), payload))
      }
      try peer.checkStep()
    },
    .init("never reads its replies") { bench in
      let peer = try bench.connect()
      for _ in 0..<64 { peer.send(message(.regionRead, access(0, 2, 64 << 10))) }
      peer.socket.shutdown()
    },
    .init("never takes the descriptors that it asks for") { bench in
      let peer = try bench.connect()
      for _ in 0..<200 {
        peer.send(message(.deviceGetRegionInfo, words([4096, 0, 2, 0, 0, 0, 0, 0])))
        peer.send(message(.deviceGetRegionIOFDs, words([4096, 0, 0, 0])))
      }
      peer.socket.shutdown()
    },
    .init("posts ten thousand writes that fail") { bench in
      let peer = try bench.connect()
      let burst = (0..<100).flatMap { _ in
        message(.regionWrite, flags: .noReply, access(.max, 0, 1, [0]))
      }
      for _ in 0..<100 { peer.send(burst) }
      try peer.checkStep()
    },
    .init("sends descriptors with every command") { bench in
      let peer = try bench.connect()
      for command in [Command.deviceReset, .deviceGetInfo, .regionRead, .dmaUnmap, .deviceFeature] {
        let answer = try peer.ask(message(command), descriptors: eventfds(17))
        let isWhole = command == .deviceReset
        #expect(answer.errno == (isWhole ? nil : UInt32(Errno.invalidArgument.rawValue)))
      }
      try peer.checkStep()
    },
    .init("sends descriptors with every byte of a message") { bench in
      let peer = try bench.connect()
      for byte in message(.deviceSetIRQs, words([20, 0x24, 2, 0, 16])) {
        peer.send([byte], descriptors: try eventfds(3))
      }
      #expect(try peer.receive().errno == UInt32(Errno.invalidArgument.rawValue))
      try peer.checkStep()
    },
    .init("dribbles, byte by byte") { bench in
      let peer = try bench.connect()
      for _ in 0..<20 {
        for byte in message(.deviceGetInfo, words([16, 0, 0, 0])) { peer.send([byte]) }
        #expect(try peer.receive().errno == nil)
      }
    },
    .init("uses one id for everything") { bench in
      let peer = try bench.connect()
      peer.send((0..<100).flatMap { _ in message(.deviceGetInfo, id: 0, words([16, 0, 0, 0])) })
      for _ in 0..<100 { #expect(try peer.receive().header.id == 0) }
    },
  ]

  static let dma: [Hostility] = [
    .init("answers DMA messages with everything but what was asked") { bench in
      let answers: [(ScriptedPeer.Answer) -> [UInt8]] = [
        { message(.dmaRead, id: $0.header.id, flags: .reply) },
        { message(.dmaRead, id: $0.header.id, flags: .reply, $0.payload) },
        { message(.dmaWrite, id: $0.header.id, flags: .reply, $0.payload) },
        { message(.dmaRead, id: $0.header.id, flags: [.reply, .error], error: 0) },
        { message(.dmaRead, id: $0.header.id, flags: [.reply, .error], error: .max) },
        { message(.dmaRead, id: $0.header.id, flags: .reply, longs(.max, .max)) },
        {
          message(
            .dmaRead, id: $0.header.id, flags: .reply,
            $0.payload + [UInt8](repeating: 1, count: 100_000))
        },
        { message(.dmaRead, id: $0.header.id &+ 1000, flags: .reply, $0.payload) },
      ]
      for answer in answers {
        try withRequest(bench) { peer, request in
          let copies = bench.victim.state.withLock { $0.copies }
          peer.send(answer(request))
          #expect(eventually { bench.victim.state.withLock { $0.copies > copies } })
          peer.socket.shutdown()
        }
      }
    },
    .init("answers a DMA message twice, and once more") { bench in
      try withRequest(bench) { peer, request in
        let answer = message(
          .dmaRead, id: request.header.id, flags: [.reply, .error], error: 14)
        peer.send(answer + answer + answer)
        peer.socket.shutdown()
      }
    },
    .init("never answers a DMA message") { bench in
      try withRequest(bench) { peer, _ in
        let copies = bench.victim.state.withLock { $0.copies }
        #expect(eventually { bench.victim.state.withLock { $0.copies > copies } })
        peer.socket.shutdown()
      }
    },
    .init("unmaps what a DMA message is about") { bench in
      try withRequest(bench) { peer, request in
        peer.send(message(.dmaUnmap, id: 1, words([24, 0]) + longs(0x10000, 0x10000)))
        peer.send(message(.dmaRead, id: request.header.id, flags: [.reply, .error], error: 14))
        peer.socket.shutdown()
      }
    },
    .init("leaves while DMA messages are in flight") { bench in
      try withRequest(bench) { peer, _ in peer.socket.shutdown() }
    },
    .init("asks the server for its own memory", refused: .noFunction) {
      [message(.dmaRead, longs(0x10000, 4)), message(.dmaWrite, longs(0x10000, 4) + [1, 2, 3, 4])]
    },
  ]

  static let windows: [Hostility] = [
    .init("maps more windows than were agreed") { bench in
      let peer = try bench.connect()
      for page in 0..<64 as Range<UInt64> {
        #expect(try peer.ask(map(page << 20, 4096)).errno == nil)
      }
      for _ in 0..<100 {
        #expect(try peer.ask(map(1 << 40, 4096)).errno == UInt32(Errno.noSpace.rawValue))
      }
    },
    .init("maps what is no memory") { bench in
      let peer = try bench.connect()
      let strange: [() throws -> OwnedNumber] = [
        { OwnedNumber(try EventFD().descriptor.duplicate()) },
        { OwnedNumber(try MessageSocket.pair().0.descriptor.duplicate()) },
        { OwnedNumber(try peer.socket.descriptor.duplicate()) },
        { OwnedNumber(try open("/dev/null")) },
        { OwnedNumber(try open("/tmp")) },
        { OwnedNumber(try open("/proc/self/maps")) },
      ]
      for make in strange {
        let answer = try peer.ask(map(0, 4096), descriptors: list { [try make()] })
        #expect(answer.errno != nil)
      }
      try peer.checkStep()
    },
    .init("maps a file for writing that it can only read") { bench in
      let peer = try bench.connect()
      let memory = try TruncatableMemory(size: 4096)
      let lent = try memory.lent()
      let path = "/proc/self/fd/\(lent.number)"
      let answer = try peer.ask(
        map(0, 4096), descriptors: list { [OwnedNumber(try open(path))] })
      #expect(answer.errno == UInt32(Errno.permissionDenied.rawValue))
      let readable = try peer.ask(
        map(0, 4096, flags: 1), descriptors: list { [OwnedNumber(try open(path))] })
      #expect(readable.errno == nil)
      #expect(lent.number >= 0)
    },
    .init("maps and unmaps a thousand times under a copying device") { bench in
      let peer = try bench.connect()
      let memory = try TruncatableMemory(size: 0x10000)
      for _ in 0..<1000 {
        try HostileBench.map(peer, memory)
        #expect(try peer.ask(HostileBench.order(.copy, 0x10000)).errno == nil)
        let unmap = message(.dmaUnmap, words([24, 2]) + longs(0, 0))
        #expect(try peer.ask(unmap).errno == nil)
      }
    },
    .init("lends one file in every window, and truncates it") { bench in
      let peer = try bench.connect()
      let memory = try TruncatableMemory(size: 0x10000)
      for slot in 0..<60 as Range<UInt64> {
        try HostileBench.map(peer, memory, at: 0x10000 + slot << 20)
      }
      memory.resize(to: 0)
      for slot in 0..<60 as Range<UInt64> {
        let answer = try peer.ask(HostileBench.order(.load, 0x10000 + slot << 20))
        #expect(answer.errno == UInt32(Errno.badAddress.rawValue))
      }
    },
    .init("has the device load from everywhere") { bench in
      let peer = try bench.connect()
      let memory = try TruncatableMemory(size: 0x10000)
      try HostileBench.map(peer, memory)
      for address in [0, 0xFFFC, 0x1FFFC, 0x20000, 1 << 63, .max, .max - 7, .max - 6] as [UInt64] {
        #expect(try peer.ask(HostileBench.order(.load, address)).errno != nil)
      }
      try peer.checkStep()
    },
    .init("leaves memory held by the device") { bench in
      let peer = try bench.connect()
      let memory = try TruncatableMemory(size: 0x10000)
      try HostileBench.map(peer, memory)
      for _ in 0..<50 { #expect(try peer.ask(HostileBench.order(.hold, 0x10000)).errno == nil) }
      memory.resize(to: 0)
      peer.socket.shutdown()
    },
    .init("lets the device work off five thousand copies, and leaves") { bench in
      let peer = try bench.connect()
      let memory = try TruncatableMemory(size: 0x10000)
      try HostileBench.map(peer, memory)
      let burst = (0..<50).flatMap { _ in
        HostileBench.order(.copy, 0x10000, flags: .noReply)
      }
      for _ in 0..<100 { peer.send(burst) }
      peer.socket.shutdown()
    },
  ]
}

private func open(_ path: String) throws -> OwnedDescriptor {
  OwnedDescriptor(
    adopting: try FileDescriptor.open(FilePath(path), .readOnly, options: .closeOnExec).rawValue)
}

extension Hostility {
  static let signals: [Hostility] = [
    .init("gives one eventfd to every vector of every index") { bench in
      let peer = try bench.connect()
      let counter = try EventFD()
      for (index, count) in [(0, 1), (1, 4), (2, 16), (3, 1), (4, 1)] as [(UInt32, UInt32)] {
        let descriptors = try list {
          try (0..<count).map { _ in OwnedNumber(try counter.descriptor.duplicate()) }
        }
        let set = message(.deviceSetIRQs, words([20, 0x24, index, 0, count]))
        #expect(try peer.ask(set, descriptors: descriptors).errno == nil)
      }
      #expect(try peer.ask(HostileBench.order(.vector, 15)).errno == nil)
      #expect(counter.take() == 1)
    },
    .init("gives sockets, files and itself for eventfds") { bench in
      let peer = try bench.connect()
      let set = message(.deviceSetIRQs, words([20, 0x24, 2, 0, 1]))
      let strange: [() throws -> OwnedNumber] = [
        { OwnedNumber(try peer.socket.descriptor.duplicate()) },
        { OwnedNumber(try open("/dev/null")) }, { OwnedNumber(try open("/tmp")) },
        { OwnedNumber(taggedDescriptor(4096)) },
      ]
      for make in strange {
        let answer = try peer.ask(set, descriptors: list { [try make()] })
        #expect(answer.errno == UInt32(Errno.invalidArgument.rawValue))
      }
    },
    .init("lets an eventfd unmask the interrupt that it signals") { bench in
      let peer = try bench.connect()
      let counter = try EventFD()
      func set(_ flags: UInt32) throws -> UInt32? {
        var lent = DescriptorList()
        lent.append(try counter.descriptor.duplicate())
        let set = message(.deviceSetIRQs, words([20, flags, 0, 0, 1]))
        let answer = try peer.ask(set, descriptors: lent)
        return answer.errno
      }
      #expect(try set(0x24) == nil)
      #expect(try set(0x14) == UInt32(Errno.invalidArgument.rawValue))
      #expect(try peer.ask(message(.deviceSetIRQs, words([20, 0x21, 0, 0, 0]))).errno == nil)
      #expect(try set(0x14) == nil)
      #expect(try set(0x24) == UInt32(Errno.invalidArgument.rawValue))
    },
    .init("changes its unmask eventfd two hundred times") { bench in
      let peer = try bench.connect()
      for _ in 0..<200 {
        let set = message(.deviceSetIRQs, words([20, 0x14, 0, 0, 1]))
        #expect(try peer.ask(set, descriptors: eventfds(1)).errno == nil)
      }
    },
    .init("leaves eventfds in every vector") { bench in
      let peer = try bench.connect()
      let set = message(.deviceSetIRQs, words([20, 0x24, 2, 0, 16]))
      #expect(try peer.ask(set, descriptors: eventfds(16)).errno == nil)
      peer.socket.shutdown()
    },
    .init("asks for vectors that no device has") { bench in
      let peer = try bench.connect()
      for vector in [16, 2047, 2048, 1 << 31, 1 << 63, .max] as [UInt64] {
        #expect(try peer.ask(HostileBench.order(.vector, vector)).errno == nil)
      }
      try peer.checkStep()
    },
    .init("masks and unmasks while vectors are signalled") { bench in
      let peer = try bench.connect()
      let set = message(.deviceSetIRQs, words([20, 0x24, 2, 0, 16]))
      #expect(try peer.ask(set, descriptors: eventfds(16)).errno == nil)
      for round in 0..<300 as Range<UInt32> {
        peer.send(
          message(
            .deviceSetIRQs, flags: .noReply, words([20, round % 2 == 0 ? 0x09 : 0x11, 2, 0, 16]))
            + HostileBench.order(.vector, UInt64(round % 16), flags: .noReply))
      }
      try peer.checkStep()
    },
  ]

  static let registers: [Hostility] = [
    .init("writes ones and zeros over all of configuration space") { bench in
      let peer = try bench.connect()
      for byte in [0xFF, 0, 0xAA, 0x55] as [UInt8] {
        for width in [1, 3, 8, 256, 4096] as [UInt32] {
          for offset in stride(from: 0, to: 4096, by: Int(width)) {
            let count = min(width, 4096 - UInt32(offset))
            let data = [UInt8](repeating: byte, count: Int(count))
            peer.send(
              message(.regionWrite, flags: .noReply, access(UInt64(offset), 7, count, data)))
          }
        }
      }
      let identity = try peer.ask(message(.regionRead, access(0, 7, 4)))
      #expect(identity.payload.suffix(4) == [0x34, 0x12, 0x78, 0x56])
    },
    .init("writes over the MSI-X table and behind it") { bench in
      let peer = try bench.connect()
      for offset in 0..<600 as Range<UInt64> {
        let data = [UInt8](repeating: 0xFF, count: 7)
        peer.send(message(.regionWrite, flags: .noReply, access(offset, 4, 7, data)))
      }
      for offset in [4090, 4096, .max] as [UInt64] {
        let answer = try peer.ask(
          message(.regionWrite, access(offset, 4, 7, [0, 0, 0, 0, 0, 0, 0])))
        #expect(answer.errno == UInt32(Errno.invalidArgument.rawValue))
      }
      #expect(try peer.ask(message(.deviceReset)).errno == nil)
    },
    .init("resets in the middle of everything") { bench in
      let peer = try bench.connect()
      let memory = try TruncatableMemory(size: 0x10000)
      try HostileBench.map(peer, memory)
      for round in 0..<200 {
        peer.send(
          HostileBench.order(.copy, 0x10000, flags: .noReply)
            + HostileBench.order(.raise, 0, flags: .noReply)
            + message(.deviceReset, id: UInt16(round)))
        #expect(try peer.receive().header.id == UInt16(round))
      }
    },
    .init("reads and writes around the end of each region") { bench in
      let peer = try bench.connect()
      for (region, size) in [(0, 4096), (2, 65536), (4, 4096), (6, 2048), (7, 4096)]
        as [(UInt32, UInt64)]
      {
        #expect(try peer.ask(message(.regionRead, access(size - 1, region, 1))).errno == nil)
        #expect(try peer.ask(message(.regionRead, access(size, region, 0))).errno == nil)
        for (offset, count) in [(size, 1), (size - 1, 2), (size + 1, 0), (0, size + 1)] {
          let answer = try peer.ask(message(.regionRead, access(offset, region, UInt32(count))))
          #expect(answer.errno == UInt32(Errno.invalidArgument.rawValue))
        }
      }
    },
    .init("coalesces writes without a number, and one too many") { bench in
      let peer = try bench.connect()
      #expect(try peer.ask(message(.regionWriteMulti, longs(0))).errno == nil)
      let many = longs(30_000) + (0..<30_000).flatMap { _ in access(0, 0, 4) + longs(1) }
      #expect(try peer.ask(message(.regionWriteMulti, many)).errno == nil)
      let cut = message(.regionWriteMulti, Array(many.dropLast()))
      #expect(try peer.ask(cut).errno == UInt32(Errno.invalidArgument.rawValue))
    },
  ]
}
