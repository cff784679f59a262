internal import VFIOUserProtocol

extension ClientCheck {
  static let failures: [ClientCheck] = [
    failure(2701, "VERSION may be refused", .refusing(.version, 93)),
    failure(2702, "DEVICE_GET_INFO may be refused", .refusing(.deviceGetInfo)),
    failure(2703, "DEVICE_GET_REGION_INFO may be refused", .refusing(.deviceGetRegionInfo)),
    failure(2704, "DEVICE_GET_IRQ_INFO may be refused", .refusing(.deviceGetIRQInfo)),
    failure(2705, "REGION_READ may be refused", .refusing(.regionRead)),
    failure(2706, "REGION_WRITE may be refused", .refusing(.regionWrite)),
    failure(2707, "DMA_MAP may be refused", .refusing(.dmaMap)),
    failure(2708, "DEVICE_SET_IRQS may be refused", .refusing(.deviceSetIRQs)),
    failure(2709, "DEVICE_RESET may be refused", .refusing(.deviceReset)),
    failure(2710, "An error may have no number", .refusing(.regionRead, 0)),
    failure(
      2711, "The server may go instead of answering VERSION",
      .vanishing(at: .version, behind: 0)),
    failure(
      2712, "The server may go instead of answering a command",
      .vanishing(at: .deviceGetRegionInfo, behind: 0)),
    failure(
      2713, "The server may go inside of a header",
      .vanishing(at: .deviceGetRegionInfo, behind: 9)),
    failure(
      2714, "The server may go inside of a payload",
      .vanishing(at: .deviceGetRegionInfo, behind: 30)),
    failure(
      2715, "The server may go once the device is in use",
      .vanishing(at: .regionRead, behind: 0)),
    failure(2716, "A reply that is too short does no harm", .short(.deviceGetInfo, 8)),
    failure(
      2717, "A region's reply that is too short does no harm",
      .short(.deviceGetRegionInfo, 20)),
    failure(2718, "A read's reply without its data does no harm", .short(.regionRead, 16)),
    failure(
      2719, "A reply of 4 GiB is not waited for",
      Scenario("a reply of 4 GiB", .deviceGetInfo) { _, answer in answer.size = .max }),
    failure(
      2720, "A reply smaller than a header does no harm",
      Scenario("a reply of 8 bytes", .deviceGetInfo) { _, answer in answer.size = 8 }),
    failure(
      2721, "Version data that is no JSON does no harm",
      .version("broken JSON", #"{"capabilities":{"#)),
    failure(
      2722, "A capability behind the end of the reply does no harm",
      Scenario("a capability outside", .deviceGetRegionInfo) { _, answer in
        answer.payload.put(.u32(4096, 15), at: 0)
        answer.payload.put(.u32(0xFFFF_FFF0), at: 12)
      }),
    failure(
      2723, "A list of capabilities that does not end does no harm",
      Scenario("a list in a circle", .deviceGetRegionInfo) { request, answer in
        answer.payload.put(.u32(48, 11), at: 0)
        answer.payload.put(.u32(32), at: 12)
        guard request.word(0) >= 48 else { return }
        answer.payload += .u16(0x7FFF, 1) + .u32(32, 0, 0)
      }),
    failure(
      2724, "A million regions do no harm",
      Scenario("a million regions", .deviceGetInfo) { _, answer in
        answer.payload.put(.u32(1 << 20), at: 8)
      }),
    failure(
      2725, "A region of 2^64 - 1 bytes does no harm",
      Scenario("a region without end", .deviceGetRegionInfo) { request, answer in
        if request.word(8) == 0 { answer.payload.put(.u64(.max), at: 16) }
      }),
  ]

  /// A check that the client takes a failure in an orderly way: it may give up or go on, but neither crash nor hang.
  private static func failure(_ number: Int, _ title: String, _ scenario: Scenario) -> ClientCheck {
    ClientCheck(number, "failures", title, Clause.security, scenario) {
      transcript, plain throws(Verdict) in
      try requireOrderlyEnd(transcript, plain)
    }
  }
}
