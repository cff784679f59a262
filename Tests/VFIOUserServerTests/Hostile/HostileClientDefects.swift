import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

/// What other implementations got wrong, each a test for us.
enum Defect: String, CaseIterable, Sendable {
  case offsetPlusCount = "offset plus count that wraps"
  case uncheckedSizes = "sizes used before they are checked"
  case uncheckedAllocation = "allocation from an unchecked count"
  case earlyField = "a field read before the length check"
  case narrowConfigurationWrites = "one- and two-byte configuration writes as full registers"
  case startPlusCount = "start plus count of SET_IRQS that wraps"
  case reachableTrap = "an assertion or unwrap a peer can reach"
  case enumFromTheWire = "an enum read from the wire"
  case bitmapPageSize = "a dirty bitmap with a page size smaller or larger than the server's"
  case payloadAsCommand = "a bad header answered and its payload taken as the next command"
  case splitBody = "a split body"
  case headerAlone = "a header alone that blocks the server"
  case unansweredQuiesce = "a quiesce failure never answered"
  case transferLimitOfZero = "max_data_xfer_size of 0 or below"
  case windowPastTheEnd = "a window past 2^64"
  case windowLargerThanFile = "a window larger than its file"
  case fileTruncatedLater = "a file truncated later"
  case leakOnTruncation = "descriptors leaked on truncated control data"
  case leakOnShortHeader = "descriptors leaked on a short header"
  case leakOnReply = "descriptors leaked on too many in a reply"
  case closeOnExec = "received descriptors without close-on-exec"
  case blockingEventfd = "a peer that clears the non-blocking flag of a shared eventfd"
  case useAfterDisconnect = "use after disconnect while a callback runs"
  case endOfFileAsSuccess = "end of file taken as success"

  /// Those whose attack changes the whole process, and has a test of its own.
  static let ownProcess: Set<Defect> = [.leakOnTruncation, .closeOnExec]
}

private func access(_ offset: UInt64, _ region: UInt32, _ count: UInt32, _ data: [UInt8] = [])
  -> [UInt8]
{
  bytes(of: RegionAccess(offset: offset, region: RegionIndex(rawValue: region), count: count))
    + data
}

private func map(_ address: UInt64, _ size: UInt64, offset: UInt64 = 0) -> [UInt8] {
  message(.dmaMap, words([32, 3]) + longs(offset, address, size))
}

private func eventfds(_ count: Int) throws -> DescriptorList {
  var list = DescriptorList()
  for counter in try counters(count) { list.append(try counter.descriptor.duplicate()) }
  return list
}

private func version(_ json: String) -> [UInt8] {
  message(.version, [0, 0, 1, 0] + Array(json.utf8) + [0])
}

extension Hostility {
  static let defects = numbers + framing + memoryOfClients + descriptorsAndThreads

  static let numbers: [Hostility] = [
    Hostility("regions", .offsetPlusCount) {
      [0, 2, 4, 6, 7].flatMap { (region: UInt32) in
        [(UInt64.max, 1), (.max - 3, 8), (.max, .max), (1 << 63, 1 << 31)].flatMap {
          (offset: UInt64, count: UInt32) in
          [
            message(.regionRead, access(offset, region, count)),
            message(.regionWriteMulti, longs(1) + access(offset, region, 4) + longs(0)),
          ]
        }
      }
    },
    Hostility("argsz, payload and count disagree", .uncheckedSizes) {
      [
        message(.deviceGetRegionInfo, words([0, 0, 0, 0, 0, 0, 0, 0])),
        message(.dmaMap, words([.max, 3]) + longs(0, 0)),
        message(.dmaUnmap, words([0, 0]) + longs(0, 4096)),
        message(.regionWrite, access(0, 0, 4)),
        message(.regionWrite, access(0, 0, .max, [1])),
        message(.deviceSetIRQs, words([20, 0x22, 2, 0, 16]) + [1]),
        message(.deviceFeature, words([0, 3 | 1 << 16])),
        message(.deviceGetRegionIOFDs, words([0, 0, 0, 0])),
      ]
    },
    Hostility("billions of everything", .uncheckedAllocation) {
      [
        message(.deviceSetIRQs, words([20, 0x22, 2, 0, .max]) + [1]),
        message(.deviceSetIRQs, words([20, 0x24, 2, 0, .max])),
        message(.regionRead, access(0, 2, .max)),
        message(.regionWriteMulti, longs(.max)),
        message(.regionWriteMulti, longs(1 << 60)),
      ]
    },
    Hostility("every command, cut at every byte", .earlyField) { bench in
      let peer = try bench.connect()
      let whole: [(Command, [UInt8])] = [
        (.dmaMap, words([32, 3]) + longs(0, 0, 4096)),
        (.dmaUnmap, words([24, 0]) + longs(0, 4096)),
        (.deviceGetInfo, words([16, 0, 0, 0])),
        (.deviceGetRegionInfo, words([32, 0, 0, 0, 0, 0, 0, 0])),
        (.deviceGetIRQInfo, words([16, 0, 0, 0])), (.deviceSetIRQs, words([20, 0x21, 0, 0, 1])),
        (.deviceGetRegionIOFDs, words([16, 0, 0, 0])), (.regionRead, access(0, 0, 4)),
        (.regionWrite, access(0, 0, 4, [1, 2, 3, 4])),
        (.regionWriteMulti, longs(1) + access(0, 0, 4) + longs(1)),
        (.deviceFeature, words([8, 3 | 1 << 16])),
      ]
      for (command, payload) in whole {
        for end in payload.indices {
          #expect(try peer.ask(message(command, Array(payload[..<end]))).errno != nil)
        }
      }
      try peer.checkStep()
    },
    Hostility("byte by byte", .narrowConfigurationWrites) { bench in
      let peer = try bench.connect()
      func write(_ offset: UInt64, _ data: [UInt8]) throws {
        let access = access(offset, 7, UInt32(data.count), data)
        #expect(try peer.ask(message(.regionWrite, access)).errno == nil)
      }
      func word(_ offset: UInt64) throws -> [UInt8] {
        Array(try peer.ask(message(.regionRead, access(offset, 7, 4))).payload.suffix(4))
      }
      try write(0x18, [0, 0, 0, 0xAB])
      try write(0x19, [0xFF])
      #expect(try word(0x18) == [8, 0, 0, 0xAB])
      try write(0x1A, [0x34, 0x12])
      #expect(try word(0x18) == [8, 0, 0x34 & 0xFF, 0x12])
      try write(4, [6])
      try write(5, [4])
      #expect(try word(4).prefix(2) == [6, 4])
      try write(3, [0xFF, 2, 0])
      #expect(try word(0) == [0x34, 0x12, 0x78, 0x56])
      #expect(try word(4).prefix(2) == [2, 0])
    },
    Hostility("of each index", .startPlusCount) {
      (0..<5).flatMap { (index: UInt32) in
        [(UInt32.max, 1), (.max, .max), (1, .max), (.max - 1, 4)].map {
          (start: UInt32, count: UInt32) in
          message(.deviceSetIRQs, words([20, 0x21, index, start, count]))
        }
      }
    },
    .surviving("first messages that nobody expects", .reachableTrap) {
      [
        message(.version), message(.version, [0]), message(.version, [0, 0, 1, 0, 0xFF, 0]),
        message(.version, [0, 0, 1, 0] + Array("{}".utf8)), version(""), version("null"),
        version("[]"), version("\"x\""), version("{\"capabilities\":[]}"),
        version("{\"capabilities\":{\"max_msg_fds\":\"x\"}}"),
        version("{\"capabilities\":{\"migration\":7}}"),
        version(String(repeating: "[", count: 60_000)),
        version(String(repeating: "{\"a\":", count: 10_000)),
        message(.version, [0, 0, 1, 0] + [UInt8](repeating: 0xFF, count: 1000) + [0]),
        message(.version, [0xFF, 0xFF, 0xFF, 0xFF]),
      ]
    },
    Hostility("every unknown command", .enumFromTheWire, refused: .noFunction) {
      ((19...300) as ClosedRange<UInt16>).map { message(Command(rawValue: $0)) }
        + [message(Command(rawValue: .max)), message(Command(rawValue: 0x8000))]
    },
    Hostility("unknown indices and actions", .enumFromTheWire) {
      [
        message(.deviceSetIRQs, words([20, 0x21, 5, 0, 1])),
        message(.deviceSetIRQs, words([20, 0x40, 0, 0, 1])),
        message(.deviceSetIRQs, words([20, 0xFFFF_FFFF, 0, 0, 1])),
        message(.deviceGetIRQInfo, words([16, 0, .max, 0])),
        message(.deviceGetRegionInfo, words([32, 0, .max, 0, 0, 0, 0, 0])),
        message(.regionRead, access(0, .max, 1)),
      ]
    },
    Hostility("when memory is unmapped, and in device features", .bitmapPageSize) { bench in
      let peer = try bench.connect()
      let memory = try TruncatableMemory(size: 0x10000)
      try HostileBench.map(peer, memory)
      // What is asked for, and the bytes of the bitmap, or the errno.
      let invalid = UInt32(Errno.invalidArgument.rawValue)
      let tooLarge = UInt32(Errno.argListTooLong.rawValue)
      let asked: [(page: UInt64, length: UInt64, size: Int?, errno: UInt32?)] = [
        (0, 0x10000, nil, invalid), (3, 0x10000, nil, invalid), (4095, 0x10000, nil, invalid),
        (.max, 0x10000, nil, invalid), (1, 0x10000, 0x2000, nil), (1, .max, nil, tooLarge),
        (2048, 0x10000, 8, nil), (4096, 0x10000, 8, nil), (4096, 0x41_000, 16, nil),
        (4096, .max, nil, tooLarge), (65536, 0x10000, 8, nil), (1 << 30, 0x10000, 8, nil),
        (1 << 63, .max, 8, nil), (4096, 0, 0, nil),
      ]
      for (page, length, size, errno) in asked {
        let bitmap = longs(page, page == 0 ? 0 : 0x10000 / page)
        let unmap = words([40, 1]) + longs(0x10000, 0x10000) + bitmap
        #expect(
          try peer.ask(message(.dmaUnmap, unmap)).errno
            == UInt32(Errno.notSupported.rawValue))
        let start = words([40, 6 | 1 << 17]) + longs(page, 1) + longs(0x10000, length)
        let isPower = page.nonzeroBitCount == 1
        #expect(try peer.ask(message(.deviceFeature, start)).errno == (isPower ? nil : invalid))
        let report = words([1 << 20, 8 | 1 << 16]) + longs(0x10000, length, page)
        let answer = try peer.ask(message(.deviceFeature, report))
        #expect(answer.errno == errno, "\(page) \(length)")
        if let size { #expect(answer.payload.count == 8 + 24 + size, "\(page) \(length)") }
      }
      // The window is still there.
      let again = words([32, 3]) + longs(0, 0x10000, 0x10000)
      #expect(
        try peer.ask(message(.dmaMap, again)).errno == UInt32(Errno.fileExists.rawValue))
      try peer.checkStep()
    },
    .closing("in every form", .transferLimitOfZero) {
      ["0", "-1", "-9223372036854775808", "1.5", "1e99", "\"1\"", "null", "[]", "true", "1e-1"].map
      {
        version("{\"capabilities\":{\"max_data_xfer_size\":\($0)}}")
      }
    },
  ]

  static let framing: [Hostility] = [
    Hostility("a reset in the payload of a bad message", .payloadAsCommand) { bench in
      let peer = try bench.connect()
      let resets = bench.victim.state.withLock { $0.resets }
      let inner = message(.deviceReset, id: 1) + message(.deviceReset, id: 2)
      for bad in [
        message(.deviceReset, id: 7, flags: MessageFlags(rawValue: 1 << 7), inner),
        message(.deviceReset, id: 7, flags: .error, inner),
        message(Command(rawValue: 999), id: 7, inner), message(.deviceReset, id: 7, inner),
      ] {
        let answer = try peer.ask(bad)
        #expect(answer.header.id == 7)
        #expect(answer.errno != nil)
        try peer.checkStep()
      }
      #expect(bench.victim.state.withLock { $0.resets } == resets)
    },
    Hostility("at every byte, its descriptor on the first", .splitBody) { bench in
      let peer = try bench.connect()
      let request = map(0x10000, 0x1000)
      for end in 1..<request.count {
        var descriptors = DescriptorList()
        descriptors.append(taggedDescriptor(0x1000))
        peer.send(Array(request[..<end]), descriptors: descriptors)
        peer.send(Array(request[end...]))
        #expect(try peer.receive().errno == nil)
        let unmap = message(.dmaUnmap, words([24, 0]) + longs(0x10000, 0x1000))
        #expect(try peer.ask(unmap).errno == nil)
      }
    },
    Hostility("of a megabyte", .headerAlone) { bench in
      let peer = try bench.connect()
      peer.send(Array(message(.regionWrite, size: 1 << 20).prefix(16)))
      try peer.expectClosing()
    },
    Hostility("half of one", .headerAlone) { bench in
      let peer = try bench.connect()
      peer.send(Array(message(.regionWrite).prefix(8)))
      try peer.expectClosing()
    },
    Hostility("one byte of the first message", .headerAlone) { bench in
      let peer = try bench.connect(negotiated: false)
      peer.send([0])
      try peer.expectClosing()
    },
    Hostility("half a write and half a reset", .endOfFileAsSuccess) { bench in
      let before = bench.victim.state.withLock { ($0.writes, $0.resets) }
      let write = HostileBench.order(.raise, 1)
      for (whole, half) in [(write, 40), (write, 39), (write, 16), (message(.deviceReset), 15)] {
        let peer = try bench.connect()
        peer.send(Array(whole[..<(half - 1)]))
        peer.socket.shutdown()
      }
      _ = try bench.connect()
      let after = bench.victim.state.withLock { ($0.writes, $0.resets) }
      #expect(after.0 == before.0)
      // Each of the five connections is begun with a whole reset.
      #expect(after.1 == before.1 + 5)
    },
  ]

  static let memoryOfClients: [Hostility] = [
    Hostility("of memory that is held", .unansweredQuiesce) { bench in
      let peer = try bench.connect()
      let memory = try TruncatableMemory(size: 0x10000)
      try HostileBench.map(peer, memory)
      #expect(try peer.ask(HostileBench.order(.hold, 0x10000)).errno == nil)
      for unmap in [DMAUnmap(address: 0x10000, size: 0x10000), .everything] {
        let answer = try peer.ask(message(.dmaUnmap, bytes(of: unmap)))
        #expect(answer.errno == UInt32(Errno.resourceBusy.rawValue))
        try peer.checkStep()
      }
    },
    Hostility("with and without memory", .windowPastTheEnd) { bench in
      let peer = try bench.connect()
      for (address, size) in [(.max, 2), (.max - 4095, 8192), (4096, .max), (1 << 63, 1 << 63 + 1)]
        as [(UInt64, UInt64)]
      {
        #expect(try peer.ask(map(address, size)).errno == UInt32(Errno.invalidArgument.rawValue))
        var descriptors = DescriptorList()
        descriptors.append(taggedDescriptor(0x10000))
        #expect(
          try peer.ask(map(address, size), descriptors: descriptors).errno
            == UInt32(Errno.invalidArgument.rawValue))
      }
    },
    Hostility("by a page, by all, and by its offset", .windowLargerThanFile) { bench in
      let peer = try bench.connect()
      for (offset, size) in [(0, 0x11000), (0x10000, 0x1000), (0, 1 << 40), (.max - 4095, 4096)]
        as [(UInt64, UInt64)]
      {
        var descriptors = DescriptorList()
        descriptors.append(taggedDescriptor(0x10000))
        let answer = try peer.ask(map(0, size, offset: offset), descriptors: descriptors)
        #expect(answer.errno == UInt32(Errno.invalidArgument.rawValue))
      }
    },
    Hostility("while the device loads and copies", .fileTruncatedLater) { bench in
      let peer = try bench.connect()
      let memory = try TruncatableMemory(size: 0x10000)
      try HostileBench.map(peer, memory)
      for _ in 0..<50 {
        #expect(try peer.ask(HostileBench.order(.copy, 0x10000)).errno == nil)
        memory.resize(to: 0)
        let answer = try peer.ask(HostileBench.order(.load, 0x18000))
        #expect(answer.errno == UInt32(Errno.badAddress.rawValue))
        memory.resize(to: 0x10000)
      }
      #expect(try peer.ask(HostileBench.order(.load, 0x18000)).errno == nil)
    },
  ]

  static let descriptorsAndThreads: [Hostility] = [
    Hostility("sixteen of them, and then nothing", .leakOnShortHeader) { bench in
      let peer = try bench.connect()
      peer.send(Array(message(.deviceSetIRQs).prefix(10)), descriptors: try eventfds(16))
      try peer.expectClosing()
    },
    Hostility("sixteen of them, and gone", .leakOnShortHeader) { bench in
      let peer = try bench.connect()
      peer.send(Array(message(.deviceSetIRQs).prefix(10)), descriptors: try eventfds(16))
      peer.socket.shutdown()
    },
    Hostility("to nothing, and to a DMA message", .leakOnReply) { bench in
      let peer = try bench.connect()
      peer.send(message(.dmaRead, id: 5, flags: .reply), descriptors: try eventfds(100))
      try peer.checkStep()
      #expect(try peer.ask(map(0x10000, 0x10000)).errno == nil)
      #expect(try peer.ask(HostileBench.order(.copy, 0x10000)).errno == nil)
      for _ in 0..<5 {
        guard let request = try? peer.receive(within: .milliseconds(100)) else { break }
        peer.send(
          message(.dmaRead, id: request.header.id, flags: .reply, request.payload),
          descriptors: try eventfds(100))
      }
      try peer.checkStep()
    },
    Hostility("of a vector, full as well", .blockingEventfd) { bench in
      let peer = try bench.connect()
      for (index, order) in [(0, Victim.Order.raise), (2, .vector)] as [(UInt32, Victim.Order)] {
        let counter = try EventFD()
        counter.fillAndBlock()
        var descriptors = DescriptorList()
        descriptors.append(try counter.descriptor.duplicate())
        let set = message(.deviceSetIRQs, words([20, 0x24, index, 0, 1]))
        #expect(try peer.ask(set, descriptors: descriptors).errno == nil)
        for _ in 0..<3 { #expect(try peer.ask(HostileBench.order(order, 0)).errno == nil) }
        #expect(
          try peer.ask(message(.deviceSetIRQs, words([20, 0x21, index, 0, 1]))).errno == nil)
      }
    },
    Hostility("that waits, and another on the worker", .useAfterDisconnect) { bench in
      let victim = bench.victim
      let peer = try bench.connect()
      let memory = try TruncatableMemory(size: 0x10000)
      try HostileBench.map(peer, memory)
      peer.send(HostileBench.order(.copy, 0x10000) + HostileBench.order(.wait, 0))
      #expect(eventually { victim.state.withLock { $0.isWaiting } })
      peer.socket.shutdown()
      memory.resize(to: 0)
      victim.state.update { $0.isGateOpen = true }
      #expect(eventually { victim.state.withLock { !$0.isWaiting } })
      victim.state.update { $0.isGateOpen = false }
    },
  ]
}
