import VFIOUserProtocol

@testable import VFIOUserConformance

extension Fault {
  private static let unknown: Condition = { $0.command.rawValue > 18 }

  /// A message that does not come at once ends the connection.
  private static let impatient = Fault(piece: { _ in .end })

  static let framing: [Int: Fault] = [
    101: change(.deviceGetInfo) { reply, _ in reply.header.id &= 0xFF },
    102: change(.regionRead) { reply, _ in
      reply.header = Header(
        id: reply.header.id, command: .regionWrite, size: reply.header.size, flags: .reply)
    },
    103: change(.deviceGetInfo) { reply, _ in reply.header.flags = MessageFlags(rawValue: 3) },
    104: edit(.deviceGetInfo) { $0.put(.u32(24), at: 0) },
    105: Fault(reply: { reply, _, _ in
      if reply.isError { reply.header.flags = MessageFlags(rawValue: 0x61) }
      return .pass
    }),
    106: change(.deviceGetRegionInfo) { reply, _ in if reply.isError { reply.payload = [0] } },
    107: change(.deviceGetRegionInfo) { reply, _ in if reply.isError { reply.header.id = 1 } },
    108: acceptAny(unknown),
    109: Fault(request: { request, _ in
      guard unknown(request) else { return .pass }
      return .answer(request.reply(error: 38) + request.reply(error: 22))
    }),
    110: acceptAny { $0.command.rawValue == 0 },
    111: accept(.dirtyPages), 112: accept(.dmaRead), 113: accept(.dmaWrite),
    114: Fault(request: { request, _ in
      request.header.flags.isReply ? .answer(request.reply(.u32(16, 0, 0, 0))) : .pass
    }),
    115: Fault(request: { request, _ in
      if request.header.flags.type == 7 { request.header.flags = [] }
      return .pass
    }),
    116: misread(.deviceGetInfo) { $0.header.flags = [] },
    117: misread(.deviceGetRegionInfo) { $0.header.flags = [] },
    118: pretend(.regionWrite) { !$0.header.wantsReply },
    119: Fault(reply: { reply, request, memory in
      guard request.command == .deviceGetInfo else { return .pass }
      if memory.count("infos") == 3 { reply.header.id = 0xFFFF }
      return .pass
    }),
    120: misreport(0x3C) { $0 == 5 ? 4 : $0 },
    121: Fault(reply: { reply, request, memory in
      if request.header.id == 9, memory.count("nines") == 2 { reply.header.id = 10 }
      return .pass
    }),
    122: Fault(piece: { $0 < 16 ? .end : .pass }), 123: Fault(piece: { $0 >= 16 ? .end : .pass }),
    124: impatient, 125: impatient,
    126: Fault(request: { request, memory in
      guard request.command == .deviceGetRegionInfo || memory.counts["failed"] != nil else {
        return .pass
      }
      _ = memory.count("failed")
      return request.command == .deviceGetInfo ? .answer(request.reply(error: 22)) : .pass
    }),
    127: Fault(malformed: { header, _ in .answer(header.reply(payload: 0).bytes) }),
    128: Fault(malformed: { header, _ in .answer(header.reply(payload: 0).bytes) }),
    129: accept(.deviceGetIRQInfo), 130: accept(.regionWrite) { $0.payload.isEmpty },
    131: die(.deviceGetInfo) { !$0.descriptors.isEmpty },
  ]

  private static func acceptAny(_ condition: @escaping Condition) -> Fault {
    Fault(request: { request, _ in
      condition(request) ? .answer(request.reply()) : .pass
    })
  }

  static let negotiation: [Int: Fault] = [
    201: edit(.version) { $0.put(.u16(1), at: 0) },
    202: edit(.version) { $0.put(.u16(2), at: 2) },
    203: version(#"{"capabilities":{}}"#, isTerminated: false), 204: version("[]"),
    205: version(#"{"capabilities":{"max_msg_fds":8,"pgsizes":4096}}"#),
    206: version(#"{"capabilities":{"max_msg_fds":8}}"#),
    207: refuse(.version) { $0.payload.count == 4 },
    208: refuse(.version) { $0.payload.count == 7 },
    209: refuse(.version) { has($0, "x-check") }, 210: refuse(.version) { has($0, "x-check") },
    211: accept(.version), 212: refuse(.version) { $0.word(0) == 0xFFFF_0000 },
    213: edit(.version, { $0.word(0) == 0 }) { $0.put(.u16(1), at: 2) },
    214: accept(.version), 215: die(.version) { $0.payload.last != 0 },
    216: die(.version) { has($0, ":[1]") }, 217: die(.version) { has($0, "many") },
    218: die(.version) { has($0, "1e300") }, 219: accept(.version) { $0.payload.count < 4 },
    220: Fault(request: { request, memory in
      guard memory.counts.isEmpty else { return .pass }
      _ = memory.count("first")
      return request.command == .deviceGetInfo
        ? .answer(request.reply(.u32(16, 3, 9, 5))) : .pass
    }),
    221: accept(.version),
    222: version(#"{"capabilities":{"max_msg_fds":0}}"#),
    223: version(#"{"capabilities":{"max_data_xfer_size":"1"}}"#),
    224: version(#"{"capabilities":{"max_dma_maps":-1}}"#),
    225: version(#"{"capabilities":{"pgsizes":100}}"#),
    226: version(#"{"capabilities":{"write_multiple":1}}"#),
    227: change(.version) { reply, _ in reply.descriptors = [] },
    228: change(.version) { reply, _ in addDescriptor(&reply) },
    229: refuse(.version) { $0.payload.count > 1000 }, 230: refuse(.version) { has($0, "\\u005f") },
    231: die(.version) { has($0, "[[[[") }, 232: impatient, 233: refuse(.deviceGetInfo),
  ]

  static func has(_ message: Passing, _ text: String) -> Bool {
    String(decoding: message.payload, as: UTF8.self).contains(text)
  }

  /// A descriptor too many.
  static func addDescriptor(_ reply: inout Passing) {
    if let file = try? HeldDescriptor.memory(4096) { reply.descriptors.append(file) }
  }

  static let info: [Int: Fault] = [
    301: edit(.deviceGetInfo) { $0.put(.u32(8), at: 0) },
    302: edit(.deviceGetInfo) { $0.put(.u32(1), at: 4) },
    303: edit(.deviceGetInfo) { $0.put(.u32(5), at: 8) },
    304: edit(.deviceGetInfo) { $0.put(.u32(2), at: 12) }, 305: accept(.deviceGetInfo),
    306: refuse(.deviceGetInfo) { $0.word(0) > 16 },
    307: Fault(reply: { reply, request, memory in
      if request.command == .deviceGetInfo, memory.count("infos") == 2 {
        reply.payload.put(.u32(2), at: 4)
      }
      return .pass
    }),
    308: change(.deviceGetInfo) { reply, _ in addDescriptor(&reply) }, 309: refuse(.deviceReset),
    310: Fault(reply: { reply, request, memory in
      if request.command == .deviceReset { _ = memory.count("resets") }
      if request.command == .deviceGetRegionInfo, memory.counts["resets"] != nil, !reply.isError {
        reply.payload.put(.u64(0), at: 16)
      }
      return .pass
    }),
    311: refuse(.dmaUnmap),
  ]
}
