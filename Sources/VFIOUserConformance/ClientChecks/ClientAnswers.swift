internal import VFIOUserProtocol

extension ClientCheck {
  static let answers: [ClientCheck] = [
    answer(
      2601, "An argsz that is larger than the reply is taken", Clause.argsz,
      Scenario("argsz 64 for DEVICE_GET_INFO", .deviceGetInfo) { _, answer in
        answer.payload.put(.u32(64), at: 0)
      }),
    answer(
      2602, "Flags of the device that are not known are ignored", Clause.vfio,
      Scenario("unknown device flags", .deviceGetInfo) { _, answer in
        answer.payload.put(.u32(3 | 1 << 20), at: 4)
      }),
    answer(
      2603, "More regions than VFIO's are taken", "Device-Specific Regions",
      Scenario("12 regions") { behaviour in
        behaviour.change = { request, answer in
          if request.header.command == .deviceGetInfo { answer.payload.put(.u32(12), at: 8) }
          if request.header.command == .deviceGetRegionInfo, 9..<12 ~= request.word(8) {
            answer = Answer(payload: .u32(32, 0, request.word(8), 0) + .u64(0, 0))
          }
        }
      }),
    answer(
      2604, "A region that asks for more room is asked again, or taken as it is",
      Clause.argsz, manyCapabilities),
    answer(
      2605, "An unknown capability of a region is passed over", Clause.capabilities,
      Scenario("an unknown capability", .deviceGetRegionInfo) { request, answer in
        guard request.word(8) == 0 else { return }
        answer.payload.put(.u32(48), at: 0)
        guard request.word(0) >= 48 else { return }
        answer.payload.put(.u32(3 | 8, 0, 32), at: 4)
        answer.payload += .u16(0x7FFF, 9) + .u32(0) + .u64(0xDEAD)
      }),
    answer(
      2606, "Base address registers may be missing", Clause.region,
      Scenario("no base address registers") { behaviour in
        behaviour.change = { request, answer in
          if request.header.command == .deviceGetRegionInfo, request.word(8) < 6 {
            answer.payload = .u32(32, 0, request.word(8), 0) + .u64(0, 0)
          }
          // Neither do they exist in configuration space, nor MSI-X, which needs one.
          if request.header.command == .deviceGetIRQInfo, request.word(8) == 2 {
            answer.payload = .u32(16, 0, 2, 0)
          }
          guard request.header.command == .regionRead, request.word(8) == 7,
            answer.error == nil
          else { return }
          hide(0x06...0x06, request, &answer)
          hide(0x34...0x34, request, &answer)
        }
      }),
    answer(
      2607, "VGA may be refused", Clause.vfio,
      Scenario("VGA is refused", .deviceGetRegionInfo) { request, answer in
        if request.word(8) == RegionFacts.vga { answer = .refusal(22) }
      }),
    answer(
      2608, "There may be no interrupt type with interrupts", Clause.irqInfo,
      Scenario("no interrupts") { behaviour in
        behaviour.change = { request, answer in
          if request.header.command == .deviceGetIRQInfo {
            answer.payload = .u32(16, 0, request.word(8), 0)
          }
          guard request.header.command == .regionRead, request.word(8) == 7,
            answer.error == nil
          else { return }
          hide(0x06...0x06, request, &answer)
          hide(0x34...0x34, request, &answer)
          hide(0x3D...0x3D, request, &answer)
        }
      }),
    ClientCheck(
      2609, "answers", "A device that cannot be reset is not reset", Clause.info,
      Scenario("no reset", .deviceGetInfo) { _, answer in answer.payload.put(.u32(2), at: 4) }
    ) { transcript, plain throws(Verdict) in
      try requireUndisturbed(transcript, plain, without: ["DEVICE_RESET"])
      let count = transcript.commands(.deviceReset).count
      try require("the number of DEVICE_RESETs", count, is: 0)
    },
    answer(
      2610, "A region may be mapped with a descriptor", Clause.region,
      Scenario("a region to map", .deviceGetRegionInfo) { request, answer in
        guard request.word(8) == 0, let file = try? HeldDescriptor.memory(4096) else { return }
        answer.payload.put(.u32(7), at: 4)
        answer.payload.put(.u64(0), at: 24)
        answer.descriptors = [file]
      }),
  ]

  /// Checks in which there is nothing for some commands to act on.
  private static let hidesInterrupts: Set = [2606, 2608]

  /// A check that the client does as much as with a plain server.
  private static func answer(
    _ number: Int, _ title: String, _ clause: String, _ scenario: Scenario
  ) -> ClientCheck {
    ClientCheck(number, "answers", title, clause, scenario) { transcript, plain throws(Verdict) in
      let without: Set = [
        "DEVICE_SET_IRQS", "DEVICE_GET_IRQ_INFO of 2", "REGION_READ", "REGION_WRITE",
      ]
      try requireUndisturbed(
        transcript, plain, without: hidesInterrupts.contains(number) ? without : [])
    }
  }

  /// Makes bytes of configuration space zero in the answer to a read.
  private static func hide(
    _ bytes: ClosedRange<UInt64>, _ request: Message, _ answer: inout Answer
  ) {
    for offset in bytes where offset >= request.long(0) {
      // The answer begins with 16 bytes that repeat the request.
      let place = offset - request.long(0) + 16
      guard place < UInt64(answer.payload.count) else { continue }
      answer.payload.put([0], at: Int(place))
    }
  }

  /// Region 0 has a sparse capability for which the fixed part has no room.
  private static let manyCapabilities = Scenario("a region that needs room", .deviceGetRegionInfo) {
    request, answer in
    guard request.word(8) == 0, let file = try? HeldDescriptor.memory(4096) else { return }
    // The fixed part alone does not mention capabilities: QEMU refuses the flag without an offset.
    answer.payload.put(.u32(64), at: 0)
    guard request.word(0) >= 64 else { return }
    answer.payload.put(.u32(7 | 8, 0, 32), at: 4)
    answer.payload.put(.u64(0), at: 24)
    answer.payload += .u16(1, 1) + .u32(0, 1, 0) + .u64(0, 4096)
    answer.descriptors = [file]
  }
}
