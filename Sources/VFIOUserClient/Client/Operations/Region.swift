internal import LinuxPrimitives

/// A region of a device (`VFIO_USER_DEVICE_GET_REGION_INFO`).
public struct Region: Sendable {
  /// The index.
  public let index: RegionIndex
  /// Size in bytes; 0 if the device does not have it.
  public let size: UInt64
  /// Whether it can be read, written and mapped.
  public let flags: RegionFlags
  /// The mappable areas: the whole region, the areas that the device lists, or none.
  public let mappableAreas: [SparseMapArea]
  /// The type of a device-specific region.
  public let type: RegionType?
  /// Other capabilities of the region.
  public let capabilities: RegionCapabilities
  /// Offset of the region in its descriptor.
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

  /// Asks again with the size that the device needs.
  init(complete answer: RegionAnswer) throws(ClientError) {
    guard answer.isComplete else {
      throw .implausibleReply(
        .deviceGetRegionInfo, "its capabilities need \(answer.info.argumentSize) bytes by now")
    }
    try self.init(answer)
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
  /// - Throws: ``ClientError/malformedReply(_:_:)`` for a chain of capabilities that leaves the reply or is
  ///   circular; ``ClientError/implausibleReply(_:_:)`` for one of more than 64 KiB, and for mappable areas
  ///   outside of the region.
  public func region(
    _ index: RegionIndex, timeout: Duration? = nil
  ) throws(ClientError) -> Region {
    let deadline = timeout.deadline
    return try connection(before: deadline).region(index, deadline)
  }

  /// One of the device's regions; suspends the task.
  public func region(
    _ index: RegionIndex, timeout: Duration? = nil
  ) async throws(ClientError) -> Region {
    let deadline = timeout.deadline
    return try await connection(before: deadline).region(index, deadline)
  }
}

extension Connection {
  /// Queries a region, a second time if its capabilities need more room.
  func region(_ index: RegionIndex, _ deadline: Deadline?) throws(ClientError) -> Region {
    let usual = Exchanges.regionInfo(index, room: Exchanges.usualRoom)
    let first = try perform(usual, before: deadline)
    guard !first.isComplete else { return try Region(first) }
    let room = try Exchanges.room(first.info.argumentSize, .deviceGetRegionInfo)
    return try Region(
      complete: perform(Exchanges.regionInfo(index, room: room), before: deadline))
  }

  /// Queries a region while the task is suspended.
  func region(_ index: RegionIndex, _ deadline: Deadline?) async throws(ClientError) -> Region {
    let usual = Exchanges.regionInfo(index, room: Exchanges.usualRoom)
    let first = try await perform(usual, before: deadline)
    guard !first.isComplete else { return try Region(first) }
    let room = try Exchanges.room(first.info.argumentSize, .deviceGetRegionInfo)
    let complete = Exchanges.regionInfo(index, room: room)
    return try Region(complete: await perform(complete, before: deadline))
  }
}
