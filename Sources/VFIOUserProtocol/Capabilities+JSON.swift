extension Capabilities {
  private static let names: Set<String> = [
    "max_msg_fds", "max_data_xfer_size", "max_dma_maps", "pgsizes", "twin_socket",
    "write_multiple", "migration",
  ]

  /// Largest value accepted as a count.
  private static let maxCount = UInt64(UInt32.max)

  /// Reads the fields and checks the range of each.
  init(_ fields: JSONFields) throws(WireError) {
    self.init()
    maxMessageDescriptors = try fields.whole("max_msg_fds", in: 1...Self.maxCount)
      .map { Int(clamping: $0) }
    // A value above our maximum is valid, but clamped: messages never get as large.
    maxDataTransfer = try fields.whole("max_data_xfer_size", in: 1...UInt64.max)
      .map { UInt32(clamping: min($0, UInt64(Limits.maxDataTransfer))) }
    maxDMAWindows = try fields.whole("max_dma_maps", in: 1...UInt64.max)
      .map { Int(clamping: $0) }
    pageSizes = try fields.pageSizes("pgsizes", smallest: Limits.defaultPageSizes)
    writeMultiple = try fields.boolean("write_multiple")
    if let twin = try fields.object("twin_socket") {
      twinSocket = TwinSocket(
        supported: try twin.boolean("supported") ?? false,
        descriptorIndex: try twin.whole("fd_index", in: 0...Self.maxCount)
          .map { Int(clamping: $0) })
    }
    if let limits = try fields.object("migration") {
      migration = MigrationCapability(
        pageSize: try limits.pageSize("pgsize"),
        maxBitmapSize: try limits.whole("max_bitmap_size", in: 1...UInt64.max))
    }
    unknownNames = fields.names.filter { !Self.names.contains($0) }.sorted()
  }

  /// The fields that are set; absent ones are left out.
  var json: JSONValue {
    var fields: [String: JSONValue] = [:]
    fields["max_msg_fds"] = maxMessageDescriptors.map { .whole(UInt64(clamping: $0)) }
    fields["max_data_xfer_size"] = maxDataTransfer.map { .whole(UInt64($0)) }
    fields["max_dma_maps"] = maxDMAWindows.map { .whole(UInt64(clamping: $0)) }
    fields["pgsizes"] = pageSizes.map { .whole($0) }
    fields["write_multiple"] = writeMultiple.map { .boolean($0) }
    fields["twin_socket"] = twinSocket.map { twin in
      var parameters: [String: JSONValue] = ["supported": .boolean(twin.supported)]
      parameters["fd_index"] = twin.descriptorIndex.map { .whole(UInt64(clamping: $0)) }
      return .object(parameters)
    }
    fields["migration"] = migration.map { limits in
      var parameters: [String: JSONValue] = [:]
      parameters["pgsize"] = limits.pageSize.map { .whole($0) }
      parameters["max_bitmap_size"] = limits.maxBitmapSize.map { .whole($0) }
      return .object(parameters)
    }
    return .object(fields)
  }
}
