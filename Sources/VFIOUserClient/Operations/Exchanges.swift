internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

/// The commands of the client, each with the check of its reply.
enum Exchanges {
  /// Most regions and interrupt types that a device may have; QEMU has the same bounds.
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

  /// Asks for a region, with room for so many bytes of answer.
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
      try checkRead(access, payload)
      return payload.extracting(RegionAccess.wireSize...).copied()
    }
  }

  /// Checks the reply to a read: about this access, with exactly its bytes.
  static func checkRead(_ access: RegionAccess, _ payload: Span<UInt8>) throws(ClientError) {
    let answered = try decode(RegionAccess.self, payload, of: .regionRead)
    let expected = RegionAccess.wireSize + Int(access.count)
    guard answered == access, payload.count == expected else {
      throw .implausibleReply(
        .regionRead,
        "\(payload.count) bytes about \(answered), \(expected) about \(access) expected")
    }
  }

  static func write(_ access: RegionAccess, _ data: [UInt8]) -> Exchange<Nothing> {
    Exchange(.regionWrite, access, followedBy: data, limit: 64) {
      (payload, _) throws(ClientError) in
      try checkWrite(access, payload)
      return Nothing()
    }
  }

  static func checkWrite(_ access: RegionAccess, _ payload: Span<UInt8>) throws(ClientError) {
    let answered = try decode(RegionAccess.self, payload, of: .regionWrite)
    guard answered == access else {
      throw .implausibleReply(.regionWrite, "it is about \(answered), not \(access)")
    }
  }

  static let reset = Exchange<Nothing>(.deviceReset, Nothing())
}

/// What a server says of a region.
struct RegionAnswer: Sendable {
  let info: RegionInfo
  let capabilities: RegionCapabilities
  /// Whether the capabilities had room in the answer.
  let isComplete: Bool
  let descriptor: RegionDescriptor?
}

/// The descriptor by which a region can be mapped.
final class RegionDescriptor: Sendable {
  let descriptor: OwnedDescriptor

  /// Takes what came with a reply, if anything did.
  init?(firstOf descriptors: inout DescriptorList) {
    guard let descriptor = descriptors.takeFirst() else { return nil }
    self.descriptor = descriptor
  }
}
