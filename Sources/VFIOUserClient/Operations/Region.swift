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

  /// The answer to the question with the room that the device asked for.
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
  /// - Throws: ``ClientError/malformedReply(_:_:)`` for a chain of capabilities that leads outside or in
  ///   a circle; ``ClientError/implausibleReply(_:_:)`` for one that needs more than 64 KiB, and for
  ///   mappable areas outside of the region.
  public func region(
    _ index: RegionIndex, timeout: Duration? = nil
  ) throws(ClientError) -> Region {
    let limit = TimeLimit(timeout)
    return try connection(within: limit).region(index, limit)
  }

  /// One of the device's regions, without holding a thread.
  public func region(
    _ index: RegionIndex, timeout: Duration? = nil
  ) async throws(ClientError) -> Region {
    let limit = TimeLimit(timeout)
    return try await connection(within: limit).region(index, limit)
  }
}

extension Connection {
  /// Asks for a region, a second time if its capabilities need more room.
  func region(_ index: RegionIndex, _ limit: TimeLimit) throws(ClientError) -> Region {
    let usual = Exchanges.regionInfo(index, room: Exchanges.usualRoom)
    let first = try perform(usual, timeout: limit.rest)
    guard !first.isComplete else { return try Region(first) }
    let room = try Exchanges.room(first.info.argumentSize, .deviceGetRegionInfo)
    return try Region(
      complete: perform(Exchanges.regionInfo(index, room: room), timeout: limit.rest))
  }

  /// Asks for a region while the task is suspended.
  func region(_ index: RegionIndex, _ limit: TimeLimit) async throws(ClientError) -> Region {
    let usual = Exchanges.regionInfo(index, room: Exchanges.usualRoom)
    let first = try await perform(usual, timeout: limit.rest)
    guard !first.isComplete else { return try Region(first) }
    let room = try Exchanges.room(first.info.argumentSize, .deviceGetRegionInfo)
    let complete = Exchanges.regionInfo(index, room: room)
    return try Region(complete: await perform(complete, timeout: limit.rest))
  }
}

extension Exchanges {
  /// Room for a few capabilities, so that asking once is the rule.
  static let usualRoom = 256
  /// Most bytes of what describes a region.
  static let maxRoom: UInt32 = 64 << 10

  /// The room that a server asks for when the usual one was too little.
  static func room(_ needed: UInt32, _ command: Command) throws(ClientError) -> Int {
    guard needed <= maxRoom else {
      let what = command == .deviceGetRegionInfo ? "its capabilities need" : "it needs"
      throw .implausibleReply(command, "\(what) \(needed) bytes, at most \(maxRoom) are taken")
    }
    return Int(needed)
  }
}
