internal import TestSupport
internal import VFIOUserProtocol

/// A payload that a fuzzer made up, read as every message there is.
package enum ProtocolInput {
  /// Runs one input, and stops the process when a message does not read again as it was written.
  package static func run(_ input: Span<UInt8>) {
    check(DMAMap.self, input)
    check(DMAUnmap.self, input)
    check(DMAAccess.self, input)
    check(DMAWriteReply.self, input)
    check(DeviceInfo.self, input)
    check(RegionInfo.self, input)
    check(RegionIOFDsRequest.self, input)
    check(RegionIOFDsReply.self, input)
    check(InterruptInfo.self, input)
    check(RegionAccess.self, input)
    check(RegionWriteMulti.self, input)
    check(RegionWriteMultiReply.self, input)
    check(DeviceFeature.self, input)
    check(MigrationFlags.self, input)
    check(MigrationState.self, input)
    check(MigrationData.self, input)
    check(DMALoggingControl.self, input)
    check(DMALoggingReport.self, input)
    checkWhatDropsTheUnknown(input)
    visitBulk(input)
  }

  private static func check<Message: WireMessage>(_ type: Message.Type, _ input: Span<UInt8>) {
    guard let message = try? Message(decoding: input) else { return }
    let again = bytes(of: message)
    precondition((try? Message(decoding: again.span)) == message, "\(type) does not read again")
  }

  /// The two messages that do not write what they do not know.
  private static func checkWhatDropsTheUnknown(_ input: Span<UInt8>) {
    if var message = try? VersionMessage(decoding: input) {
      message.capabilities.unknownNames = []
      let again = bytes(of: message)
      precondition((try? VersionMessage(decoding: again.span)) == message, "VERSION")
    }
    guard let reply = try? RegionInfoReply(decoding: input), reply.capabilities.unknown.isEmpty
    else { return }
    let again = bytes(of: reply)
    precondition((try? RegionInfoReply(decoding: again.span)) == reply, "region info")
  }

  /// What is asked of a payload behind its fixed part.
  private static func visitBulk(_ input: Span<UInt8>) {
    if let access = try? RegionAccess(decoding: input) {
      if let data = try? access.data(in: input) { precondition(data.count == Int(access.count)) }
      _ = access.range(within: 0x1000)
    }
    if let access = try? DMAAccess(decoding: input), let data = try? access.data(in: input) {
      precondition(UInt64(data.count) == access.count)
    }
    if let set = try? SetInterrupts(decoding: input) {
      _ = set.range(within: 2048)
      _ = try? set.booleans(in: input)
    }
    if let data = try? MigrationData(decoding: input) { _ = try? data.data(in: input) }
    if let feature = try? DeviceFeature(decoding: input) { _ = try? feature.data(in: input) }
    if let report = try? DMALoggingReport(decoding: input) {
      _ = try? report.bitmapSize(limit: 1 << 20)
      _ = try? report.bitmap(in: input)
    }
    guard let writes = try? RegionWrites(decoding: input) else { return }
    for index in 0..<writes.count {
      precondition(writes.data(at: index).count == Int(writes.entry(at: index).access.count))
    }
  }
}
