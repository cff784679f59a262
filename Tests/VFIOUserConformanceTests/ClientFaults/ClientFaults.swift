import VFIOUserProtocol

@testable import VFIOUserConformance

extension ClientFault {
  /// A payload is changed.
  private static func edit(
    _ command: Command, _ condition: @escaping @Sendable (Request) -> Bool = { _ in true },
    _ change: @escaping @Sendable (inout Request) -> Void
  ) -> ClientFault {
    ClientFault(request: { request in
      if request.command == command, condition(request) { change(&request) }
    })
  }

  private static func put(
    _ command: Command, _ bytes: [UInt8], at offset: Int,
    _ condition: @escaping @Sendable (Request) -> Bool = { _ in true }
  ) -> ClientFault {
    edit(command, condition) { $0.payload.put(bytes, at: offset) }
  }

  private static func version(_ text: String, isTerminated: Bool = true) -> ClientFault {
    edit(.version) { request in
      request.payload = Array(request.payload.prefix(4)) + Array(text.utf8)
      if isTerminated { request.payload.append(0) }
    }
  }

  private static func way(_ way: Way) -> ClientFault { ClientFault(ways: [way]) }

  private static func gives(
    up condition: @escaping @Sendable (Request, Message) -> Bool
  ) -> ClientFault {
    ClientFault(dislikes: condition)
  }

  private static func answers(
    _ condition: @escaping @Sendable (Message) -> Bool,
    _ reply: @escaping @Sendable (Message, [UInt8]) -> [UInt8]
  ) -> ClientFault {
    ClientFault(answer: { question, bytes in
      if condition(question) { bytes = reply(question, bytes) }
      return true
    })
  }

  private static let infos: [Int: ClientFault] = [
    2001: way(.skipsVersion), 2002: edit(.version) { $0.flags = MessageFlags(rawValue: 0x40) },
    2003: way(.sendsVersionTwice), 2004: put(.version, .u16(3), at: 0),
    2005: version("{}", isTerminated: false), 2006: version("[]"),
    2007: version(#"{"capabilities":{"max_msg_fds":0}}"#),
    2008: gives { request, reply in request.command == .version && reply.payload.count == 4 },
    2009: gives { request, reply in request.command == .version && reply.word(0) == 0 },
    2010: gives { request, reply in
      request.command == .version
        && String(decoding: reply.payload, as: UTF8.self).contains("x-check")
    },
    2011: way(.ignoresMajor), 2012: way(.ignoresTwin),
    2101: way(.leavesGarbage),
    2102: edit(.deviceFeature) { $0.command = Command(rawValue: 0x50) },
    2103: edit(.deviceGetInfo) { $0.flags = MessageFlags(rawValue: 0x80) },
    2104: way(.answersUnasked), 2105: put(.deviceGetInfo, .u32(1), at: 8),
    2106: put(.deviceGetRegionInfo, .u32(1), at: 16),
    2107: put(.deviceGetRegionInfo, .u32(9), at: 8) { $0.payload.number(at: 8) == 8 as UInt32 },
    2108: put(.deviceGetIRQInfo, .u32(8), at: 0),
    2109: put(.deviceGetIRQInfo, .u32(5), at: 8) { $0.payload.number(at: 8) == 4 as UInt32 },
    2110: edit(.deviceReset) { $0.payload = [0] },
    2111: put(.deviceFeature, .u32(3 << 16 | 1), at: 4), 2112: way(.asksRegionFirst),
  ]

  private static let isShared: @Sendable (Request) -> Bool = { !$0.descriptors.isEmpty }

  private static let resources: [Int: ClientFault] = [
    2201: put(.dmaMap, .u32(24), at: 0), 2202: put(.dmaMap, .u32(0), at: 4),
    2203: put(.dmaMap, .u64(.max), at: 24), 2204: put(.dmaMap, .u64(ClientScript.address), at: 16),
    2205: edit(.dmaMap, isShared) { $0.descriptors += $0.descriptors },
    2206: put(.dmaMap, .u64(1 << 20), at: 24, isShared),
    2207: put(.dmaMap, .u64(4096), at: 8) { !isShared($0) },
    2208: edit(.dmaUnmap) { $0.payload += [0] },
    2301: put(.deviceSetIRQs, .u32(0x27), at: 4), 2302: edit(.deviceSetIRQs) { $0.payload += [1] },
    2303: put(.deviceSetIRQs, .u32(7), at: 12),
    2304: edit(.deviceSetIRQs) { $0.descriptors += $0.descriptors },
    2305: edit(.deviceSetIRQs) { request in
      if let file = try? HeldDescriptor.memory(4096) {
        request.descriptors = request.descriptors.map { _ in file }
      }
    },
    2306: way(.ignoresDescriptorLimit), 2307: way(.afraidOfInterrupts).crashing,
    2401: edit(.regionRead) { $0.payload += [0] }, 2402: put(.regionRead, .u64(1 << 20), at: 0),
    2403: edit(.regionWrite) { $0.payload += [0] }, 2404: put(.regionWrite, .u64(255), at: 0),
    2405: edit(.regionWrite) { $0.payload = Array($0.payload.prefix(12)) + .u32(0) },
    2406: way(.ignoresTransferLimit),
    2407: edit(.regionWrite) { $0.command = .regionWriteMulti },
    2501: way(.impatient), 2502: way(.impatient), 2503: way(.impatient), 2504: way(.impatient),
    2505: way(.hasty), 2506: way(.mute), 2507: way(.mute), 2508: way(.startled).crashing,
  ]

  private static func region(
    _ condition: @escaping @Sendable (Message) -> Bool
  ) -> ClientFault {
    gives { request, reply in request.command == .deviceGetRegionInfo && condition(reply) }
  }

  private static func deviceInfo(
    _ condition: @escaping @Sendable (Message) -> Bool
  ) -> ClientFault {
    gives { request, reply in request.command == .deviceGetInfo && condition(reply) }
  }

  private static let answers: [Int: ClientFault] = [
    2601: deviceInfo { $0.word(0) != 16 }, 2602: deviceInfo { $0.word(4) > 3 },
    2603: deviceInfo { $0.word(8) != 9 }, 2604: region { $0.word(0) > 32 },
    2605: region { $0.word(0) > 32 }, 2606: region { $0.word(8) == 0 && $0.long(16) == 0 },
    2607: region { $0.errno != nil },
    2608: gives { request, reply in
      request.command == .deviceGetIRQInfo && reply.word(8) == 0 && reply.word(12) == 0
    },
    2609: way(.ignoresResetFlag), 2610: region { $0.word(4) & 4 != 0 },
  ]

  private static func asked(_ address: UInt64, _ command: Command) -> @Sendable (Message) -> Bool {
    { $0.header.command == command && $0.long(0) == address }
  }

  private static let place = ClientScript.address + 0x1000
  private static let last = ClientScript.address + UInt64(ClientScript.size) - 1

  /// Success without data, where there ought to be an error.
  private static let success: @Sendable (Message, [UInt8]) -> [UInt8] = { question, _ in
    question.header.reply(payload: 0).bytes
  }
  private static let error: @Sendable (Message, [UInt8]) -> [UInt8] = { question, _ in
    question.header.errorReply(errno: 5).bytes
  }

  private static let questions: [Int: ClientFault] = [
    2801: answers(asked(place, .dmaRead)) { question, bytes in
      guard bytes.count > 32 else { return bytes }
      return question.header.reply(payload: bytes.count - 20).bytes + bytes[16..<bytes.count - 4]
    },
    2802: answers(asked(place, .dmaRead)) { _, bytes in bytes.putting(.u64(8), at: 24) },
    2803: answers(asked(place, .dmaWrite), error),
    2804: answers(asked(place, .dmaWrite)) { _, bytes in bytes.putting(.u32(9), at: 24) },
    2805: answers(asked(place, .dmaRead)) { _, bytes in bytes.putting(.u32(0), at: 32) },
    2806: answers(asked(last, .dmaRead), error),
    2807: answers(asked(.max - 0xFFFF, .dmaRead), success),
    2808: answers(asked(.max - 0xFFFF, .dmaWrite), success),
    2809: answers(asked(.max - 3, .dmaRead), success),
    2810: answers({ $0.long(8) == .max }, success), 2811: answers({ $0.long(8) == 64 }, success),
    2812: answers({ $0.header.command == .dmaRead && $0.long(8) == 16 }, error),
    2813: ClientFault(answer: { question, _ in question.header.command.rawValue < 0x70 }).crashing,
    2814: answers({ $0.header.command == .dmaWrite }) { _, bytes in bytes.putting(.u16(11), at: 2)
    },
    2815: answers({ $0.long(8) == .max }) { _, bytes in bytes.putting(.u32(20), at: 4) + .u32(0) },
  ]

  /// The fault for each check.
  static let all: [Int: ClientFault] = {
    var all = infos
    for some in [resources, answers, questions] { all.merge(some) { first, _ in first } }
    // A failure that crashes the client, or leaves it hanging.
    for number in 2701...2725 {
      all[number] = ClientFault(ways: number % 2 == 0 ? [.hangs] : [.crashes])
    }
    return all
  }()

  /// The same, and a failure is a crash.
  private var crashing: ClientFault {
    var fault = self
    fault.ways.insert(.crashes)
    return fault
  }
}

extension [UInt8] {
  fileprivate func putting(_ bytes: [UInt8], at offset: Int) -> [UInt8] {
    var changed = self
    changed.put(bytes, at: offset)
    return changed
  }
}
