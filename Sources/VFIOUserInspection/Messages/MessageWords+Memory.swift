internal import VFIOUserProtocol

extension MessageWords {
  mutating func dmaMap(_ payload: Span<UInt8>, isReply: Bool) throws(WireError) {
    guard !isReply else { return try nothing(payload) }
    let map = try DMAMap(decoding: payload)
    add("address", .hex(map.address))
    add("size", .hex(map.size))
    add("offset", .hex(map.offset))
    add(
      "flags",
      names(
        of: UInt64(map.flags.rawValue), [(1, "read"), (2, "write"), (4, "mmap"), (8, "file-io")]))
  }

  mutating func dmaUnmap(_ payload: Span<UInt8>, isReply: Bool) throws(WireError) {
    let unmap = try DMAUnmap(decoding: payload)
    add("address", .hex(unmap.address))
    add("size", .hex(unmap.size))
    add("flags", names(of: UInt64(unmap.flags.rawValue), [(1, "dirty-bitmap"), (2, "all")]))
    guard unmap.flags.contains(.getDirtyBitmap) else { return }
    let rest = payload.extracting(DMAUnmap.wireSize..<payload.count)
    let bitmap = try DirtyBitmap(decoding: rest)
    add("page size", .number(bitmap.pageSize))
    add("bitmap size", .number(bitmap.size))
    let data = rest.extracting(DirtyBitmap.wireSize..<rest.count)
    if isReply { add("bitmap", .data(FieldBytes(data))) }
  }

  mutating func dmaAccess(_ payload: Span<UInt8>, hasData: Bool) throws(WireError) {
    let access = try DMAAccess(decoding: payload)
    add("address", .hex(access.address))
    add("count", .number(access.count))
    guard hasData else { return try access.requireNoData(in: payload) }
    add("data", .data(FieldBytes(try access.data(in: payload))))
  }

  /// The reply exists in three forms, see `DMAWriteReply`.
  mutating func dmaWriteReply(_ payload: Span<UInt8>) throws(WireError) {
    switch try DMAWriteReply(decoding: payload) {
    case .bare: break
    case .narrow(let address, let count):
      add("address", .hex(address))
      add("count", .number(UInt64(count)))
    case .wide(let access):
      add("address", .hex(access.address))
      add("count", .number(access.count))
    }
  }
}
