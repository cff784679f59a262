import LinuxPrimitives
import TestSupport
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserConformance

extension Fault {
  /// Overlaps are refused with another number.
  private static let otherNumber = change(.dmaMap) { reply, _ in
    if reply.isError { reply.header.error = 1 }
  }

  /// Memory stays mapped.
  private static let mapping = Fault(request: { request, memory in
    if request.command == .dmaMap, let file = request.descriptors.first,
      let copy = try? file.owned.duplicate(), let mapped = MappedFile(copy)
    {
      memory.mapped.append(mapped)
    }
    return .pass
  })

  static let memory: [Int: Fault] = [
    601: refuse(.dmaMap) { !$0.descriptors.isEmpty },
    602: refuse(.dmaMap) { $0.descriptors.isEmpty },
    603: refuse(.dmaMap) { $0.word(4) == 1 }, 604: refuse(.dmaMap) { $0.word(4) == 2 },
    605: edit(.dmaMap) { $0 = .u32(0) }, 606: refuse(.dmaMap) { $0.long(8) != 0 },
    607: accept(.dmaMap), 608: accept(.dmaMap), 609: otherNumber, 610: otherNumber,
    611: otherNumber, 612: otherNumber, 613: otherNumber,
    614: refuse(.dmaMap) { $0.long(16) != Window.address },
    615: Fault(request: { request, memory in
      guard request.command == .dmaMap, memory.count("maps") == 3 else { return .pass }
      return .answer(request.reply(error: 17))
    }),
    616: Fault(request: { request, memory in
      guard request.command == .dmaMap, memory.count("maps") > 100 else { return .pass }
      return .answer(request.reply(error: 28))
    }),
    617: die(.dmaMap) { $0.long(24) == 1 << 20 }, 618: die(.dmaMap) { $0.long(8) > 1 << 40 },
    619: die(.dmaMap) { !$0.descriptors.isEmpty },
    620: refuse(.dmaUnmap), 621: edit(.dmaUnmap) { $0.put(.u64(0), at: 8) },
    622: accept(.dmaUnmap), 623: accept(.dmaUnmap), 624: accept(.dmaUnmap), 625: accept(.dmaUnmap),
    626: refuse(.dmaMap) { $0.long(16) != Window.address },
    627: refuse(.dmaUnmap) { $0.long(16) == Window.size }, 628: accept(.dmaUnmap),
    629: accept(.dmaUnmap), 630: refuse(.dmaUnmap) { $0.long(8) != Window.address },
    631: pretend(.dmaUnmap, nil) { $0.word(4) == 2 }, 632: mapping, 633: mapping,
    634: accept(.dmaUnmap),
    635: Fault(request: { request, memory in
      guard request.command == .dmaMap, memory.count("maps") > 10 else { return .pass }
      return .answer(request.reply(error: 12))
    }),
  ]

  static let accesses: [Int: Fault] = [
    701: edit(.regionRead, { $0.covers(0) }) { $0.put(.u16(0xFFFF), at: 16) },
    702: edit(.regionRead, { $0.word(12) == 8 }) { $0.put([0xEE], at: 16) },
    703: edit(.regionRead, { $0.word(12) == 3 }) { $0.put([0xEE], at: 16) },
    704: refuse(.regionRead) { $0.word(12) >= 256 },
    705: edit(.regionRead) { $0.put(.u64(8), at: 0) },
    706: edit(.regionWrite) { $0.put(.u32(6), at: 8) }, 707: edit(.regionWrite) { $0 += [0] },
    708: misreport(0x3C) { _ in 0x5A },
    709: Fault(reply: { reply, request, memory in
      if request.command == .regionWrite { _ = memory.count("writes") }
      if request.command == .regionRead, request.long(0) == 0x3D, memory.counts["writes"] != nil {
        reply.payload.put([0xEE], at: 17)
      }
      return .pass
    }),
    710: Fault(reply: { reply, request, memory in
      if request.command == .regionWrite, request.long(0) == 0 { _ = memory.count("writes") }
      if request.command == .regionRead, request.long(0) == 0, memory.counts["writes"] != nil {
        reply.payload.put(.u32(0), at: 16)
      }
      return .pass
    }),
    711: misreport(0x0E) { $0 | 1 }, 712: misreport(4) { _ in 0 },
    713: edit(.regionRead, { 0x10..<0x28 ~= $0.long(0) }) { payload in
      // The answer to ones, for 4 KiB: half as much.
      if payload.word(16) == 0xFFFF_F000 { payload.put(.u32(0xFFFF_F800), at: 16) }
    },
    714: Fault(reply: { reply, request, memory in
      guard 0x10..<0x28 ~= request.long(0), request.word(8) == 7 else { return .pass }
      let place = "bar \(request.long(0))"
      if request.command == .regionWrite {
        memory.notes[place] = Array(request.payload.dropFirst(16))
      }
      if request.command == .regionRead, let written = memory.notes[place] {
        reply.payload.put(written, at: 16)
      }
      return .pass
    }),
    715: edit(.regionRead, { 0x10..<0x28 ~= $0.long(0) }) { payload in
      if payload.word(16) >> 28 == 0xC { payload.put(.u32(0), at: 16) }
    },
    716: misreport(0x34) { $0 | 1 },
    717: edit(.regionRead, { $0.long(0) == 0x100 }) { $0.put(.u32(0x1000_0001), at: 16) },
    718: edit(.regionRead, { 0x40..<0x100 ~= $0.long(0) && $0.word(12) == 4 }) { payload in
      payload.put(.u32(payload.word(16) | 7), at: 16)
    },
    719: edit(.regionRead, { 0x40..<0x100 ~= $0.long(0) && $0.word(12) == 4 }) { payload in
      payload.put(.u32(payload.word(16) | 0xFFFF_0000), at: 16)
    },
    720: refuse(.regionRead) { $0.long(0) == 4095 },
    721: accept(.regionRead), 722: accept(.regionRead), 723: accept(.regionRead),
    724: accept(.regionRead), 725: accept(.regionRead),
    726: edit(.regionRead, { $0.word(12) == 0 }) { $0 += .u32(0) }, 727: accept(.regionRead),
    728: accept(.regionWrite), 729: accept(.regionWrite), 730: accept(.regionWrite),
    731: accept(.regionWrite), 732: accept(.regionWrite),
    733: die(.regionWrite) { $0.payload.count > 17 }, 734: accept(.regionWrite),
    735: Fault(reply: { reply, request, memory in
      if request.command == .regionWrite, reply.isError { _ = memory.count("refused") }
      if request.command == .regionRead, memory.counts["refused"] != nil {
        reply.payload.put([0xEE], at: 16)
      }
      return .pass
    }),
    736: edit(.regionRead, { $0.word(8) == 0 }) { $0.removeLast() },
    737: refuse(.regionRead) { $0.word(12) > 8192 },
    738: pretend(.regionWriteMulti, .u64(3)),
    739: edit(.regionWriteMulti) { $0.put(.u64(1), at: 0) },
    740: accept(.regionWriteMulti), 741: accept(.regionWriteMulti), 742: accept(.regionWriteMulti),
    743: pretend(.regionWriteMulti, nil),
  ]
}

extension [UInt8] {
  fileprivate func word(_ offset: Int) -> UInt32 { number(at: offset) ?? 0 }
}
