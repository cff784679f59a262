internal import VFIOUserProtocol

extension MessageWords {
  mutating func version(_ payload: Span<UInt8>) throws(WireError) {
    guard payload.count >= 4 else { throw .truncated(needed: 4, had: payload.count) }
    let major: UInt16 = payload.littleEndian(at: 0)
    let minor: UInt16 = payload.littleEndian(at: 2)
    add("version", .word("\(major).\(minor)"))
    let message = try VersionMessage(decoding: payload)
    add("capabilities", .group(Self.fields(of: message.capabilities)))
  }

  private static func fields(of capabilities: Capabilities) -> [MessageField] {
    var fields: [MessageField] = []
    func add(_ name: String, _ value: FieldValue?) {
      if let value { fields.append(MessageField(name, value)) }
    }
    add("max_msg_fds", capabilities.maxMessageDescriptors.map { .number(UInt64($0)) })
    add("max_data_xfer_size", capabilities.maxDataTransfer.map { .number(UInt64($0)) })
    add("max_dma_maps", capabilities.maxDMAWindows.map { .number(UInt64($0)) })
    add("pgsizes", capabilities.pageSizes.map { .hex($0) })
    add("write_multiple", capabilities.writeMultiple.map { .flag($0) })
    add("twin_socket", capabilities.twinSocket.map { .group(Self.fields(of: $0)) })
    add("migration", capabilities.migration.map { .group(Self.fields(of: $0)) })
    if !capabilities.unknownNames.isEmpty { add("unknown", .words(capabilities.unknownNames)) }
    return fields
  }

  private static func fields(of twin: TwinSocket) -> [MessageField] {
    [MessageField("supported", .flag(twin.supported))]
      + (twin.descriptorIndex.map { [MessageField("fd_index", .number(UInt64(clamping: $0)))] }
        ?? [])
  }

  private static func fields(of migration: MigrationCapability) -> [MessageField] {
    let pageSize = migration.pageSize.map { [MessageField("pgsize", .number($0))] } ?? []
    return pageSize
      + (migration.maxBitmapSize.map { [MessageField("max_bitmap_size", .number($0))] } ?? [])
  }
}
