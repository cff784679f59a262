import VFIOUserProtocol

@testable import VFIOUserConformance

extension Fault {
  private static func feature(_ flags: UInt32) -> Condition { { $0.word(4) == flags } }

  /// Changes of the state, to one state or to any.
  private static func setting(_ state: UInt32? = nil) -> Condition {
    { message in
      message.command == .deviceFeature && message.word(4) == Feature.set | Feature.state
        && (state == nil || message.word(8) == state)
    }
  }

  static let features: [Int: Fault] = [
    801: accept(.deviceFeature), 802: accept(.deviceFeature), 803: accept(.deviceFeature),
    804: accept(.deviceFeature), 805: accept(.deviceFeature), 806: accept(.deviceFeature),
    807: refuse(.deviceFeature) { $0.word(4) & Feature.probe != 0 }, 808: accept(.deviceFeature),
    809: edit(.deviceFeature, feature(Feature.probe | Feature.migration)) {
      $0.put(.u32(9), at: 0)
    },
    810: edit(.deviceFeature, feature(Feature.get | Feature.migration)) { $0.put(.u64(2), at: 8) },
    811: edit(.deviceFeature, feature(Feature.get | Feature.migration)) { $0.put(.u32(99), at: 0) },
    812: accept(.deviceFeature),
    813: edit(.deviceFeature, feature(Feature.get | Feature.state)) { $0.put(.u32(1), at: 8) },
    814: accept(.deviceFeature),
  ]

  private static func reaching(_ state: UInt32) -> Fault { refuse(.deviceFeature, setting(state)) }

  private static func report(_ change: @escaping @Sendable (inout [UInt8]) -> Void) -> Fault {
    edit(.deviceFeature, feature(Feature.get | Feature.loggingReport), change)
  }

  static let migration: [Int: Fault] = [
    901: reaching(1), 902: reaching(3), 903: reaching(3), 904: reaching(4),
    905: Fault(request: { request, memory in
      guard setting(1)(request), memory.count("stops") == 2 else { return .pass }
      return .answer(request.reply(error: 22))
    }),
    906: accept(.deviceFeature), 907: accept(.deviceFeature), 908: accept(.deviceFeature),
    909: reaching(6), 910: reaching(3), 911: accept(.deviceFeature), 912: reaching(6),
    913: edit(.deviceFeature, setting()) { $0.put(.u32(3), at: 8) }, 914: accept(.deviceFeature),
    915: Fault(request: { request, memory in
      if setting(1)(request) { _ = memory.count("stops") }
      guard request.command == .regionRead, memory.counts["stops"] != nil else { return .pass }
      return .answer(request.reply(error: 16))
    }),
    916: Fault(reply: { reply, request, memory in
      if request.command == .deviceReset { _ = memory.count("resets") }
      if request.word(4) == Feature.get | Feature.state, memory.counts["resets"] != nil {
        reply.payload.put(.u32(1), at: 8)
      }
      return .pass
    }),
    917: Fault(request: { request, memory in
      setting(2)(request) && memory.connections > 1 ? .answer(request.reply(error: 22)) : .pass
    }),
    918: refuse(.migrationDataRead),
    919: Fault(reply: { reply, request, _ in
      guard request.command == .migrationDataRead, request.word(4) == 64 else { return .pass }
      reply.payload = .u32(9, 1) + [0]
      return .pass
    }),
    920: edit(.migrationDataRead) { $0.put(.u32(1), at: 0) },
    921: edit(.migrationDataRead, { $0.word(4) == 96 }) { $0 = .u32(8, 0) },
    922: accept(.migrationDataRead), 923: accept(.migrationDataWrite),
    924: accept(.migrationDataWrite), 925: refuse(.migrationDataWrite),
    926: edit(.migrationDataWrite) { $0 = .u32(0) },
    927: misreport(0x3C) { _ in 0x11 }, 928: accept(.deviceFeature), 929: accept(.deviceFeature),
    930: accept(.migrationDataWrite), 931: die(.migrationDataRead) { $0.word(4) == .max },
    932: refuse(.deviceFeature) { $0.word(4) == Feature.set | Feature.loggingStart },
    933: edit(.deviceFeature, feature(Feature.set | Feature.loggingStart)) {
      $0.put(.u64(0), at: 24)
    },
    934: report { $0 += .u64(0) }, 935: report { $0.put(.u64(8192), at: 24) },
    936: report { $0.put(.u64(0x10), at: 32) }, 937: report { $0.put(.u64(1), at: 32) },
    938: refuse(.deviceFeature) { $0.long(24) == 8192 }, 939: accept(.deviceFeature),
    940: accept(.deviceFeature), 941: accept(.deviceFeature), 942: accept(.deviceFeature),
  ]

  /// The server dies when a client has gone in some way.
  private static func dieOfEnd(
    _ condition: @escaping @Sendable (_ unfinished: Int, _ count: Int) -> Bool
  ) -> Fault {
    Fault(ending: { unfinished, count, _ in condition(unfinished, count) ? .kill : .pass })
  }

  static let robustness: [Int: Fault] = [
    1001: dieOfEnd { unfinished, _ in 1..<16 ~= unfinished },
    1002: dieOfEnd { unfinished, _ in unfinished >= 16 },
    1003: dieOfEnd { _, count in count > 30 }, 1004: dieOfEnd { _, count in count == 0 },
    1005: Fault(request: { _, memory in memory.connections > 10 ? .kill : .pass }),
    1006: Fault(malformed: { _, _ in .kill }),
    1007: die(.deviceGetRegionInfo) { $0.payload.count == 80 },
    1008: Fault(malformed: { _, _ in .kill }),
    1009: lastOf(500), 1010: lastOf(60),
    1011: Fault(reply: { reply, request, memory in
      if request.command == .regionRead, request.covers(0x3C), memory.connections > 1 {
        reply.payload.put([0], at: 16)
      }
      return .pass
    }),
    1012: Fault(request: { request, memory in
      request.command == .deviceGetInfo && memory.connections > 1 ? .end : .pass
    }),
    1013: dieOfEnd { _, _ in true },
    1014: Fault(request: { $0.command.rawValue > 18 && !$1.counts.isEmpty ? .kill : note($0, &$1) }
    ),
    1015: die(.deviceGetInfo) { $0.descriptors.count > 50 },
    1016: Fault(request: { request, memory in
      request.command == .dmaMap && memory.count("maps") > 70 ? .kill : .pass
    }),
    1017: dieOfEnd { unfinished, count in unfinished > 0 && count == 0 },
  ]

  /// The reply to the command with this number has another message ID.
  private static func lastOf(_ number: Int) -> Fault {
    Fault(reply: { reply, request, memory in
      guard request.command != .version, memory.count("replies") == number else { return .pass }
      reply.header.id ^= 0x8000
      return .pass
    })
  }

  private static func note(_ request: Passing, _ memory: inout FaultMemory) -> Deed {
    if request.command.rawValue > 18 { _ = memory.count("unknown") }
    return .pass
  }

  /// The fault for each check.
  static let all: [Int: Fault] = [
    framing, negotiation, info, regions, irqs, memory, accesses, features, migration, robustness,
  ].reduce(into: [:]) { all, some in all.merge(some) { first, _ in first } }
}
