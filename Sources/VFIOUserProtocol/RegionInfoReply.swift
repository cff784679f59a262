/// All that a server says about one region: the fixed part with its capabilities behind
/// (specification, "VFIO_USER_DEVICE_GET_REGION_INFO").
///
/// A client that left too little room gets the fixed part alone, and learns from
/// ``RegionInfo/argumentSize`` with how much it should ask again.
public struct RegionInfoReply: WireMessage {
  /// The fixed part; in a complete reply its size, its offset of capabilities and its flag for them
  /// are those of ``capabilities`` as they are written here.
  public let info: RegionInfo
  /// The capabilities; empty in an incomplete reply.
  public let capabilities: RegionCapabilities
  /// Whether everything is here.
  ///
  /// If not, ask again with room for ``RegionInfo/argumentSize``.
  public let isComplete: Bool

  /// Puts a complete reply together; what belongs to the capabilities in `info` is filled in.
  public init(_ info: RegionInfo, capabilities: RegionCapabilities = RegionCapabilities()) {
    var info = info
    info.argumentSize = UInt32(RegionInfo.wireSize + capabilities.wireSize)
    if capabilities.isEmpty {
      info.flags.remove(.capabilities)
      info.capabilityOffset = 0
    } else {
      info.flags.insert(.capabilities)
      info.capabilityOffset = UInt32(RegionInfo.wireSize)
    }
    self.init(info, capabilities, isComplete: true)
  }

  private init(_ info: RegionInfo, _ capabilities: RegionCapabilities, isComplete: Bool) {
    self.info = info
    self.capabilities = capabilities
    self.isComplete = isComplete
  }

  /// What fits a client that gave `argumentSize` as its largest reply: all or the fixed part.
  ///
  /// The fixed part alone does not speak of capabilities: QEMU refuses a flag for them whose offset does
  /// not lead behind the fixed part, and asks again when it sees the size.
  public func limited(to argumentSize: UInt32) -> RegionInfoReply {
    guard argumentSize < info.argumentSize else { return self }
    var info = info
    info.capabilityOffset = 0
    info.flags.remove(.capabilities)
    return RegionInfoReply(info, RegionCapabilities(), isComplete: false)
  }

  /// Reads the reply.
  ///
  /// libvfio-user fills a reply that is cut short with zeros up to the room that the client gave,
  /// so any length between the fixed part and the full size is taken as incomplete.
  public init(decoding bytes: Span<UInt8>) throws(WireError) {
    let info = try RegionInfo(decoding: bytes)
    guard bytes.count >= Int(info.argumentSize) else {
      self.init(info, RegionCapabilities(), isComplete: false)
      return
    }
    try bytes.requireExactly(Int(info.argumentSize))
    guard info.flags.contains(.capabilities) else {
      self.init(info)
      return
    }
    self.init(
      info, capabilities: try RegionCapabilities(decoding: bytes, from: info.capabilityOffset))
  }

  /// Bytes on the wire.
  public var wireSize: Int { RegionInfo.wireSize + capabilities.wireSize }

  /// Writes the fixed part and the capabilities behind it.
  @_lifetime(bytes: copy bytes)
  public func encode(into bytes: inout MutableRawSpan) {
    info.encode(into: &bytes)
    capabilities.encode(into: &bytes, at: RegionInfo.wireSize)
  }
}
