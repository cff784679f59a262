internal import VFIOUserProtocol

extension MessageWords {
  mutating func regionInfo(_ payload: Span<UInt8>, isReply: Bool) throws(WireError) {
    let info = try RegionInfo(decoding: payload)
    add(region: info.index)
    add("argsz", .number(UInt64(info.argumentSize)))
    guard isReply else { return try info.validateRequest() }
    add("size", .hex(info.size))
    add(
      "flags",
      names(
        of: UInt64(info.flags.rawValue), [(1, "read"), (2, "write"), (4, "mmap"), (8, "caps")]))
    if info.flags.contains(.mappable) { add("offset", .hex(info.offset)) }
    let reply = try RegionInfoReply(decoding: payload)
    if !reply.isComplete { add("incomplete", .flag(true)) }
    capabilities(reply.capabilities)
  }

  private mutating func capabilities(_ capabilities: RegionCapabilities) {
    if let areas = capabilities.sparseAreas {
      add(
        "sparse areas",
        .groups(
          areas.map {
            [MessageField("offset", .hex($0.offset)), MessageField("size", .hex($0.size))]
          }))
    }
    if let type = capabilities.type {
      add(
        "region type",
        .group([
          MessageField("type", .hex(UInt64(type.type))),
          MessageField("subtype", .hex(UInt64(type.subtype))),
        ]))
    }
    if capabilities.msixMappable { add("msix mappable", .flag(true)) }
    if !capabilities.unknown.isEmpty {
      add("unknown capabilities", .words(capabilities.unknown.map { "\($0.rawValue)" }))
    }
  }

  mutating func regionIOFDs(_ payload: Span<UInt8>, isReply: Bool) throws(WireError) {
    guard isReply else {
      let request = try RegionIOFDsRequest(decoding: payload)
      add(region: request.index)
      add("argsz", .number(UInt64(request.argumentSize)))
      return
    }
    let reply = try RegionIOFDsReply(decoding: payload)
    add(region: reply.index)
    add("argsz", .number(UInt64(reply.argumentSize)))
    add("count", .number(UInt64(reply.count)))
    add("sub-regions", .groups(reply.subRegions.map(Self.fields)))
  }

  private static func fields(of part: SubRegion) -> [MessageField] {
    let kind =
      switch part.kind {
      case .event: "ioeventfd"
      case .region: "ioregionfd"
      case .shadowEvent: "ioeventfd with shadow"
      default: "type \(part.kind.rawValue)"
      }
    return [
      MessageField("type", .word(kind)), MessageField("offset", .hex(part.offset)),
      MessageField("size", .number(part.size)),
      MessageField("fd_index", .number(UInt64(part.descriptorIndex))),
      MessageField("flags", .hex(UInt64(part.flags.rawValue))),
      MessageField("value", .hex(part.value)),
    ]
  }

  mutating func regionAccess(_ payload: Span<UInt8>, hasData: Bool) throws(WireError) {
    let access = try RegionAccess(decoding: payload)
    add(access)
    guard hasData else { return try access.requireNoData(in: payload) }
    add("data", .data(FieldBytes(try access.data(in: payload))))
  }

  private mutating func add(_ access: RegionAccess) {
    add(region: access.region)
    add("offset", .hex(access.offset))
    if access.region == .configuration,
      let name = Names.configurationRegisters(offset: access.offset, count: access.count)
    {
      add("register", .word(name))
    }
    add("count", .number(UInt64(access.count)))
  }

  mutating func writeMulti(_ payload: Span<UInt8>, isReply: Bool) throws(WireError) {
    guard !isReply else {
      add("writes", .number(try RegionWriteMultiReply(decoding: payload).writeCount))
      return
    }
    let view = try RegionWrites(decoding: payload)
    add("count", .number(UInt64(view.count)))
    var groups: [[MessageField]] = []
    for index in 0..<min(view.count, Self.shownWrites) {
      var one = MessageWords()
      one.add(view.entry(at: index).access)
      one.add("data", .data(FieldBytes(view.data(at: index))))
      groups.append(one.fields)
      if index == 0 { note(region: one.region) }
    }
    add("writes", .groups(groups))
  }

  /// How many writes of a message are shown.
  private static let shownWrites = 64
}
