import Testing
import VFIOUserProtocol

@Suite struct `Mutated payloads` {
  /// Numbers at which checks are wrong when they are wrong.
  private static let edges: [[UInt8]] = [
    hex("00"), hex("ff"), hex("00000000"), hex("ffffffff"), hex("ffffffffffffffff"),
    hex("00000080"), hex("0000000000000080"), hex("f0ffffff"), hex("20000000"), hex("01000000"),
  ]

  private static func mutated(_ dice: inout Dice) -> [UInt8] {
    var bytes = Golden.all[Int.random(in: Golden.all.indices, using: &dice)].bytes
    for _ in 0..<Int.random(in: 0...4, using: &dice) {
      switch Int.random(in: 0..<5, using: &dice) {
      case 0 where !bytes.isEmpty:
        bytes[Int.random(in: bytes.indices, using: &dice)] = UInt8.random(in: 0...255, using: &dice)
      case 1 where !bytes.isEmpty:
        bytes[Int.random(in: bytes.indices, using: &dice)] ^=
          1 << UInt8.random(in: 0..<8, using: &dice)
      case 2:
        let edge = edges[Int.random(in: edges.indices, using: &dice)]
        let start = Int.random(in: 0...(bytes.count / 4), using: &dice) * 4
        bytes.replaceSubrange(start..<min(bytes.count, start + edge.count), with: edge)
      case 3:
        bytes.removeLast(Int.random(in: 0...bytes.count, using: &dice))
      default:
        let more = Golden.all[Int.random(in: Golden.all.indices, using: &dice)].bytes
        bytes += more.prefix(Int.random(in: 0...64, using: &dice))
      }
    }
    return bytes
  }

  /// What can be read can be written, and reads the same again.
  private func survives<Message: WireMessage>(_ type: Message.Type, _ bytes: [UInt8]) -> Bool {
    guard let message = try? decoded(bytes, as: type) else { return true }
    return (try? decoded(encoded(message), as: type)) == message
  }

  /// As ``survives`` for the two messages that do not write what they do not know.
  private func survivesUnknown(_ bytes: [UInt8]) -> Bool {
    if var message = try? decoded(bytes, as: VersionMessage.self) {
      message.capabilities.unknownNames = []
      guard (try? decoded(encoded(message), as: VersionMessage.self)) == message else {
        return false
      }
    }
    guard let reply = try? decoded(bytes, as: RegionInfoReply.self),
      reply.capabilities.unknown.isEmpty
    else { return true }
    return (try? decoded(encoded(reply), as: RegionInfoReply.self)) == reply
  }

  /// Whatever can be asked of a payload behind a fixed part is answered or refused.
  private func visitsBulk(_ bytes: [UInt8]) {
    let span = bytes.span
    if let access = try? RegionAccess(decoding: span) {
      if let data = try? access.data(in: span) { #expect(data.count == Int(access.count)) }
      _ = access.range(within: 0x1000)
    }
    if let access = try? DMAAccess(decoding: span), let data = try? access.data(in: span) {
      #expect(UInt64(data.count) == access.count)
    }
    if let set = try? SetInterrupts(decoding: span), let flags = try? set.booleans(in: span) {
      #expect(flags.count == (set.data == .booleans ? Int(set.count) : 0))
      _ = set.range(within: 2048)
    }
    if let data = try? MigrationData(decoding: span) {
      _ = try? data.data(in: span)
      _ = try? data.replyData(in: span)
    }
    if let feature = try? DeviceFeature(decoding: span) { _ = try? feature.data(in: span) }
    if let report = try? DMALoggingReport(decoding: span) {
      _ = try? report.bitmapSize(limit: 1 << 20)
      _ = try? report.bitmap(in: span)
    }
    if let writes = try? RegionWrites(decoding: span) {
      for index in 0..<writes.count {
        #expect(writes.data(at: index).count == Int(writes.entry(at: index).access.count))
      }
    }
  }

  @Test(arguments: 0..<8)
  func `Mutated payloads never trap a decoder`(seed: UInt64) {
    var dice = Dice(state: seed)
    for _ in 0..<2_500 {
      let bytes = Self.mutated(&dice)
      let same =
        survives(DMAMap.self, bytes) && survives(DMAUnmap.self, bytes)
        && survives(DMAAccess.self, bytes) && survives(DMAWriteReply.self, bytes)
        && survives(DeviceInfo.self, bytes) && survives(RegionInfo.self, bytes)
        && survives(RegionIOFDsRequest.self, bytes) && survives(RegionIOFDsReply.self, bytes)
        && survives(InterruptInfo.self, bytes) && survives(RegionAccess.self, bytes)
        && survives(RegionWriteMulti.self, bytes) && survives(RegionWriteMultiReply.self, bytes)
        && survives(DeviceFeature.self, bytes) && survives(MigrationFlags.self, bytes)
        && survives(MigrationState.self, bytes) && survives(MigrationData.self, bytes)
        && survives(DMALoggingControl.self, bytes) && survives(DMALoggingReport.self, bytes)
        && survivesUnknown(bytes)
      #expect(same, "\(bytes)")
      visitsBulk(bytes)
    }
  }
}
