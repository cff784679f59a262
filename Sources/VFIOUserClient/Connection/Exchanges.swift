internal import LinuxPrimitives
internal import SystemPackage

/// The commands of the client, each with the check of its reply.
enum Exchanges {
  /// Maximum number of regions and of interrupt types of a device; the same as QEMU's.
  static let maxRegions: UInt32 = 100
  static let maxInterruptTypes: UInt32 = 50

  static let deviceInfo = Exchange<DeviceInfo>(
    .deviceGetInfo, DeviceInfo.request(), limit: 64
  ) { (payload, _) throws(ClientError) in
    let info = try decode(DeviceInfo.self, payload, of: .deviceGetInfo)
    guard info.regionCount <= maxRegions, info.interruptTypeCount <= maxInterruptTypes else {
      throw .implausibleReply(
        .deviceGetInfo,
        "\(info.regionCount) regions (at most \(maxRegions)), "
          + "\(info.interruptTypeCount) interrupt types (at most \(maxInterruptTypes))")
    }
    return info
  }

  /// Queries a region, with room for `room` bytes of reply.
  static func regionInfo(_ index: RegionIndex, room: Int) -> Exchange<RegionAnswer> {
    Exchange(
      .deviceGetRegionInfo, RegionInfo.request(index, argumentSize: UInt32(room)), limit: room,
      descriptorLimit: 1
    ) { (payload, descriptors) throws(ClientError) in
      let reply = try decode(RegionInfoReply.self, payload, of: .deviceGetRegionInfo)
      guard reply.info.index == index else {
        throw .implausibleReply(
          .deviceGetRegionInfo, "it is about region \(reply.info.index.rawValue)")
      }
      let mapped = RegionDescriptor(firstOf: &descriptors)
      return RegionAnswer(
        info: reply.info, capabilities: reply.capabilities, isComplete: reply.isComplete,
        descriptor: mapped)
    }
  }

  static func interruptInfo(_ index: InterruptIndex) -> Exchange<InterruptInfo> {
    Exchange(.deviceGetIRQInfo, InterruptInfo.request(index), limit: 64) {
      (payload, _) throws(ClientError) in
      let info = try decode(InterruptInfo.self, payload, of: .deviceGetIRQInfo)
      guard info.index == index else {
        throw .implausibleReply(.deviceGetIRQInfo, "it is about type \(info.index.rawValue)")
      }
      return info
    }
  }

  static func read(_ access: RegionAccess) -> Exchange<[UInt8]> {
    Exchange(.regionRead, access, limit: RegionAccess.wireSize + Int(access.count)) {
      (payload, _) throws(ClientError) in
      try ReplyCheck.data(of: access, payload).copied()
    }
  }

  static func write(_ access: RegionAccess, _ data: [UInt8]) -> Exchange<Nothing> {
    Exchange(.regionWrite, access, followedBy: data, limit: RegionAccess.wireSize) {
      (payload, _) throws(ClientError) in
      try ReplyCheck.requireNoData(of: access, payload)
      return Nothing()
    }
  }

  static let reset = Exchange<Nothing>(.deviceReset, Nothing())
}

extension Exchanges {
  /// Room for a few capabilities, so that one query is usually enough.
  static let usualRoom = 256
  /// Maximum size of a region's description in bytes.
  static let maxRoom: UInt32 = 64 << 10

  /// Checks the room that a server needs, if the usual room was too small.
  static func room(_ needed: UInt32, _ command: Command) throws(ClientError) -> Int {
    guard needed <= maxRoom else {
      let what = command == .deviceGetRegionInfo ? "its capabilities need" : "it needs"
      throw .implausibleReply(command, "\(what) \(needed) bytes, at most \(maxRoom) are taken")
    }
    return Int(needed)
  }
}

/// A reply to DEVICE_GET_REGION_INFO.
struct RegionAnswer: Sendable {
  let info: RegionInfo
  let capabilities: RegionCapabilities
  /// Whether the capabilities fit into the reply.
  let isComplete: Bool
  let descriptor: RegionDescriptor?
}

/// The descriptor by which a region can be mapped.
final class RegionDescriptor: Sendable {
  let descriptor: OwnedDescriptor

  /// Takes the descriptor of a reply, nil if there is none.
  init?(firstOf descriptors: inout DescriptorList) {
    guard let descriptor = descriptors.takeFirst() else { return nil }
    self.descriptor = descriptor
  }
}
