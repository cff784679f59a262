public import VFIOUserProtocol
internal import VFIOUserTransport

extension Client {
  /// Reads from a region (`VFIO_USER_REGION_READ`), in as many messages as it takes.
  public func read(
    _ region: RegionIndex, at offset: UInt64, count: Int
  ) throws(ClientError) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count)
    while bytes.count < count {
      let piece = UInt32(min(count - bytes.count, Int(largestAccess)))
      let access = RegionAccess(
        offset: offset + UInt64(bytes.count), region: region, count: piece)
      try read(access, appendingTo: &bytes)
    }
    return bytes
  }

  /// Writes to a region (`VFIO_USER_REGION_WRITE`), in as many messages as it takes.
  public func write(
    _ region: RegionIndex, at offset: UInt64, _ bytes: [UInt8]
  ) throws(ClientError) {
    var done = 0
    repeat {
      let end = min(bytes.count, done + Int(largestAccess))
      let access = RegionAccess(
        offset: offset + UInt64(done), region: region, count: UInt32(end - done))
      try write(access, bytes[done..<end])
      done = end
    } while done < bytes.count
  }

  /// Reads a number, little endian, in one access of its size.
  public func load<Number: FixedWidthInteger & BitwiseCopyable>(
    _ region: RegionIndex, at offset: UInt64, as type: Number.Type = Number.self
  ) throws(ClientError) -> Number {
    let bytes = try read(region, at: offset, count: MemoryLayout<Number>.size)
    return bytes.span.littleEndian(at: 0)
  }

  /// Writes a number, little endian, in one access of its size.
  public func store<Number: FixedWidthInteger & BitwiseCopyable>(
    _ number: Number, _ region: RegionIndex, at offset: UInt64
  ) throws(ClientError) {
    let bytes = (0..<MemoryLayout<Number>.size).map {
      UInt8(truncatingIfNeeded: number >> Number(8 * $0))
    }
    try write(region, at: offset, bytes)
  }

  private var largestAccess: UInt32 {
    min(server.capabilities.effectiveMaxDataTransfer, options.largestAccess)
  }

  private func read(
    _ access: RegionAccess, appendingTo bytes: inout [UInt8]
  ) throws(ClientError) {
    try connection.call(
      .regionRead, payload: RegionAccess.wireSize, descriptors: DescriptorList(),
      fill: { access.encode(into: &$0) },
      read: { (payload, _) throws(ClientError) in
        try Self.copyData(of: access, in: payload, appendingTo: &bytes)
      })
  }

  private static func copyData(
    of access: RegionAccess, in payload: Span<UInt8>, appendingTo bytes: inout [UInt8]
  ) throws(ClientError) {
    let answered = try decode(RegionAccess.self, payload, of: .regionRead)
    let expected = RegionAccess.wireSize + Int(access.count)
    guard answered == access, payload.count == expected else {
      throw .implausibleReply(
        .regionRead, "it answers \(answered) in \(payload.count) bytes, \(expected) were expected")
    }
    for index in RegionAccess.wireSize..<expected { bytes.append(payload[index]) }
  }

  private func write(_ access: RegionAccess, _ data: ArraySlice<UInt8>) throws(ClientError) {
    let answered = try connection.call(
      .regionWrite, payload: RegionAccess.wireSize + data.count, descriptors: DescriptorList(),
      fill: { bytes in
        access.encode(into: &bytes)
        for (index, byte) in data.enumerated() {
          bytes.storeBytes(of: byte, toByteOffset: RegionAccess.wireSize + index, as: UInt8.self)
        }
      },
      read: { (payload, _) throws(ClientError) in
        try decode(RegionAccess.self, payload, of: .regionWrite)
      })
    guard answered == access else {
      throw .implausibleReply(.regionWrite, "it answers \(answered)")
    }
  }
}
