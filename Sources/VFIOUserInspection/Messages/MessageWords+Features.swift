internal import VFIOUserProtocol

extension MessageWords {
  mutating func feature(_ payload: Span<UInt8>, isReply: Bool) throws(WireError) {
    let feature = try DeviceFeature(decoding: payload)
    add("feature", .word(feature.feature.description))
    add(
      "methods",
      names(
        of: UInt64(feature.methods.rawValue),
        [(1 << 16, "get"), (1 << 17, "set"), (1 << 18, "probe")]))
    add("argsz", .number(UInt64(feature.argumentSize)))
    let data = try feature.data(in: payload)
    guard !feature.methods.contains(.probe) else { return }
    // A request to get has data only where the feature needs some.
    let hasData = isReply || feature.methods == .set || feature.feature == .dmaLoggingReport
    guard hasData else { return }
    try featureData(feature.feature, data, isReply: isReply)
  }

  private mutating func featureData(
    _ feature: FeatureIndex, _ data: Span<UInt8>, isReply: Bool
  ) throws(WireError) {
    switch feature {
    case .migration:
      let flags = try MigrationFlags(decoding: data)
      add(
        "migration", names(of: flags.rawValue, [(1, "STOP_COPY"), (2, "P2P"), (4, "PRE_COPY")]))
    case .migrationDeviceState:
      add("state", .word(try MigrationState(decoding: data).state.description))
    case .dmaLoggingStart: try loggingStart(data)
    case .dmaLoggingStop: break
    case .dmaLoggingReport: try loggingReport(data, isReply: isReply)
    default: if data.count > 0 { add("data", .data(FieldBytes(data))) }
    }
  }

  private mutating func loggingStart(_ data: Span<UInt8>) throws(WireError) {
    let control = try DMALoggingControl(decoding: data)
    add("page size", .number(control.pageSize))
    let ranges = control.ranges.prefix(64).map {
      [MessageField("address", .hex($0.address)), MessageField("length", .hex($0.length))]
    }
    add("ranges", .groups(ranges))
  }

  private mutating func loggingReport(_ data: Span<UInt8>, isReply: Bool) throws(WireError) {
    let report = try DMALoggingReport(decoding: data)
    add("address", .hex(report.address))
    add("length", .hex(report.length))
    add("page size", .number(report.pageSize))
    if isReply { add("bitmap", .data(FieldBytes(try report.bitmap(in: data)))) }
  }

  /// - Parameter mayPad: libvfio-user sends as many bytes as were requested, see `MigrationData`.
  mutating func migrationData(
    _ payload: Span<UInt8>, hasData: Bool, mayPad: Bool
  ) throws(WireError) {
    let part = try MigrationData(decoding: payload)
    add("argsz", .number(UInt64(part.argumentSize)))
    add("size", .number(UInt64(part.size)))
    guard hasData else { return try part.validateReadRequest(in: payload) }
    let data = mayPad ? try part.replyData(in: payload) : try part.data(in: payload)
    add("data", .data(FieldBytes(data)))
  }
}
