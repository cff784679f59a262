public import VFIOUserProtocol

/// A region of a device, as the device describes it.
public struct Region: Sendable {
  /// Which one.
  public let index: RegionIndex
  /// Bytes; 0 when the device does not have it.
  public let size: UInt64
  /// What can be done with it.
  public let flags: RegionFlags
  /// The parts that can be mapped: all of it, the areas that the device names, or none.
  public let mappableAreas: [SparseMapArea]
  /// Of a device-specific region, what it is.
  public let type: RegionType?
  /// Everything else that the device said of it.
  public let capabilities: RegionCapabilities
  /// Where the region begins in its descriptor.
  let fileOffset: UInt64
  let descriptor: RegionDescriptor?

  init(_ answer: RegionAnswer) throws(ClientError) {
    index = answer.info.index
    size = answer.info.size
    flags = answer.info.flags
    type = answer.capabilities.type
    capabilities = answer.capabilities
    fileOffset = answer.info.offset
    descriptor = answer.descriptor
    mappableAreas = try Self.areas(answer)
  }

  private static func areas(_ answer: RegionAnswer) throws(ClientError) -> [SparseMapArea] {
    let info = answer.info
    guard info.flags.contains(.mappable), answer.descriptor != nil else { return [] }
    let areas = answer.capabilities.sparseAreas ?? [SparseMapArea(offset: 0, size: info.size)]
    for area in areas {
      let (end, wraps) = area.offset.addingReportingOverflow(area.size)
      guard !wraps, end <= info.size, !info.offset.addingReportingOverflow(end).overflow else {
        throw .implausibleReply(
          .deviceGetRegionInfo,
          "a mappable area of \(area.size) bytes at \(area.offset) in a region of \(info.size)")
      }
    }
    return areas
  }
}

extension Client {
  /// One of the device's regions, with its capabilities (`VFIO_USER_DEVICE_GET_REGION_INFO`).
  ///
  /// - Throws: ``ClientError/malformedReply(_:_:)`` for a chain of capabilities that leads outside or in
  ///   a circle; ``ClientError/implausibleReply(_:_:)`` for one that needs more than 64 KiB, and for
  ///   mappable areas outside of the region.
  public func region(_ index: RegionIndex) throws(ClientError) -> Region {
    let first = try perform(Exchanges.regionInfo(index, room: Self.usualRegionRoom))
    guard !first.isComplete else { return try Region(first) }
    let room = try Self.room(for: first)
    return try Region(perform(Exchanges.regionInfo(index, room: room)))
  }

  /// One of the device's regions, without holding a thread.
  public func region(_ index: RegionIndex) async throws(ClientError) -> Region {
    let first = try await perform(Exchanges.regionInfo(index, room: Self.usualRegionRoom))
    guard !first.isComplete else { return try Region(first) }
    let room = try Self.room(for: first)
    return try Region(await perform(Exchanges.regionInfo(index, room: room)))
  }

  /// Room for a few sparse areas, so that asking once is the rule.
  private static let usualRegionRoom = 256
  private static let mostRegionRoom = 64 << 10

  private static func room(for answer: RegionAnswer) throws(ClientError) -> Int {
    let needed = Int(answer.info.argumentSize)
    guard needed <= mostRegionRoom else {
      throw .implausibleReply(
        .deviceGetRegionInfo,
        "its capabilities need \(needed) bytes, at most \(mostRegionRoom) are taken")
    }
    return needed
  }
}
