import LinuxPrimitives
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserConformance

extension Fault {
  /// The replies about a region are changed; BAR 2 of the scratch device is sparse.
  private static func region(
    _ index: UInt32?, _ change: @escaping @Sendable (inout [UInt8]) -> Void
  ) -> Fault {
    edit(.deviceGetRegionInfo, { index == nil || $0.word(8) == index }, change)
  }

  static let regions: [Int: Fault] = [
    401: refuse(.deviceGetRegionInfo) { $0.word(8) == 2 },
    402: region(3) { $0.put(.u32(4), at: 8) }, 403: region(0) { $0.put(.u32(40), at: 0) },
    404: accept(.deviceGetRegionInfo), 405: accept(.deviceGetRegionInfo),
    406: accept(.deviceGetRegionInfo) { $0.word(0) < 32 },
    407: region(7) { $0.put(.u64(128), at: 16) }, 408: region(7) { $0.put(.u32(1), at: 4) },
    409: region(3) { $0.put(.u32(4), at: 4) },
    410: change(.deviceGetRegionInfo) { reply, _ in reply.descriptors = [] },
    411: change(.deviceGetRegionInfo) { reply, request in
      if request.word(8) == 0 { addDescriptor(&reply) }
    },
    412: region(0) { $0.put(.u64(0x1800), at: 16) }, 413: region(0) { $0.put(.u32(0), at: 4) },
    414: change(.deviceGetRegionInfo) { reply, _ in
      guard !reply.descriptors.isEmpty else { return }
      reply.descriptors = []
      addDescriptor(&reply)
    },
    415: edit(.regionRead, { $0.word(8) == 2 }) { $0.put([0xEE], at: 17) },
    416: region(2) { $0.put(.u64(0x10010), at: 48) }, 417: region(2) { $0.put(.u32(0), at: 12) },
    418: region(2) { $0.put(.u32(32), at: 36) }, 419: region(2) { $0.put(.u16(2), at: 34) },
    420: region(2) { $0.put(.u64(1 << 40), at: 56) },
    421: region(2) { $0.put(.u64(0x10000, 0x20000), at: 64) },
    422: region(2) { $0.put(.u32(11), at: 4) },
    423: edit(.deviceGetRegionInfo, { $0.word(0) == 32 }) { $0.put(.u32(32), at: 0) },
    424: edit(.deviceGetRegionInfo, { 32..<4096 ~= $0.word(0) }) { $0 = Array($0.prefix(32)) },
    425: edit(.deviceGetRegionIOFDs) { $0.put(.u32(9), at: 32) },
    426: accept(.deviceGetRegionIOFDs),
    427: edit(.deviceGetRegionIOFDs, { $0.word(0) == 16 }) { $0.put(.u32(16), at: 0) },
  ]

  private static func irq(
    _ index: UInt32, _ change: @escaping @Sendable (inout [UInt8]) -> Void
  ) -> Fault {
    edit(.deviceGetIRQInfo, { $0.word(8) == index }, change)
  }

  static let irqs: [Int: Fault] = [
    501: refuse(.deviceGetIRQInfo) { $0.word(8) == 3 }, 502: irq(3) { $0.put(.u32(4), at: 8) },
    503: irq(0) { $0.put(.u32(8), at: 0) }, 504: accept(.deviceGetIRQInfo),
    505: accept(.deviceGetIRQInfo) { $0.word(0) < 16 }, 506: irq(0) { $0.put(.u32(2), at: 12) },
    507: irq(0) { $0.put(.u32(0), at: 12) }, 508: irq(1) { $0.put(.u32(3), at: 12) },
    509: irq(2) { $0.put(.u32(3), at: 12) }, 510: irq(0) { $0.put(.u32(5), at: 4) },
    511: accept(.deviceSetIRQs), 512: accept(.deviceSetIRQs), 513: accept(.deviceSetIRQs),
    514: accept(.deviceSetIRQs), 515: accept(.deviceSetIRQs), 516: accept(.deviceSetIRQs),
    517: accept(.deviceSetIRQs), 518: accept(.deviceSetIRQs), 519: accept(.deviceSetIRQs),
    520: edit(.deviceSetIRQs) { $0 = [0] },
    521: refuse(.deviceSetIRQs) { $0.word(4) == IRQSet.none | IRQSet.mask },
    522: refuse(.deviceSetIRQs, assigns), 523: pretend(.deviceSetIRQs, nil, triggers),
    524: misread(.deviceSetIRQs) { $0.payload.put([1, 1, 1], at: 20) },
    525: misread(.deviceSetIRQs) { if triggers($0) { $0.payload.put(.u32(0), at: 12) } },
    526: misread(.deviceSetIRQs) { if triggers($0) { $0.payload.put(.u32(0), at: 12) } },
    527: Fault(request: { request, memory in
      guard assigns(request), memory.count("assigned") == 2 else { return .pass }
      return .answer(request.reply())
    }),
    528: pretend(.deviceSetIRQs, nil) {
      $0.word(4) & IRQSet.eventfd != 0 && $0.descriptors.isEmpty
    },
    529: pretend(.deviceSetIRQs, nil) { $0.word(16) == 0 },
    530: Fault(request: { request, memory in
      guard assigns(request), memory.count("assigned") == 2 else { return .pass }
      return .answer(request.reply())
    }),
    531: accept(.deviceSetIRQs), 532: signalling, 533: accept(.deviceSetIRQs),
    534: accept(.deviceSetIRQs), 535: signalling,
  ]

  private static let assigns: Condition = { message in
    message.command == .deviceSetIRQs && !message.descriptors.isEmpty
  }
  private static let triggers: Condition = { message in
    message.command == .deviceSetIRQs && message.word(4) == IRQSet.none | IRQSet.trigger
      && message.word(16) == 1
  }

  /// Eventfds are kept for ever, and signalled once more.
  private static let signalling = Fault(request: { request, memory in
    if assigns(request) { memory.held += request.descriptors }
    if triggers(request) {
      for descriptor in memory.held {
        guard let copy = try? descriptor.owned.duplicate() else { continue }
        EventFD(adopting: copy).signal()
      }
    }
    return .pass
  })
}
