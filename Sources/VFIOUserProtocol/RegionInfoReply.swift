/// The complete description of a region: the fixed part followed by its capabilities.
///
/// See the specification, "VFIO_USER_DEVICE_GET_REGION_INFO". If the client's `argsz` is too small,
/// the reply is the fixed part alone, whose ``RegionInfo/argumentSize`` is the size to repeat the
/// request with.
public struct RegionInfoReply: WireMessage {
  /// The fixed part.
  ///
  /// In a complete reply its size, capability offset and capability flag match ``capabilities`` as
  /// encoded here.
  public let info: RegionInfo
  /// The capabilities; empty in an incomplete reply.
  public let capabilities: RegionCapabilities
  /// Whether the reply is complete.
  ///
  /// If not, repeat the request with room for ``RegionInfo/argumentSize``.
  public let isComplete: Bool

  /// Creates a complete reply; sets the fields of `info` that describe the capabilities.
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

  /// Returns what fits into a reply of at most `argumentSize`: the whole reply or the fixed part.
  ///
  /// The fixed part alone does not mention capabilities: QEMU rejects the capability flag if the
  /// offset does not point beyond the fixed part, and repeats the request when it sees the size.
  public func limited(to argumentSize: UInt32) -> RegionInfoReply {
    guard argumentSize < info.argumentSize else { return self }
    var info = info
    info.capabilityOffset = 0
    info.flags.remove(.capabilities)
    return RegionInfoReply(info, RegionCapabilities(), isComplete: false)
  }

  /// Decodes the reply.
  ///
  /// libvfio-user pads a truncated reply with zeros up to the client's `argsz`, so any length
  /// between the fixed part and the full size counts as incomplete.
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

  /// Size on the wire in bytes.
  public var wireSize: Int { RegionInfo.wireSize + capabilities.wireSize }

  /// Writes the fixed part, followed by the capabilities.
  @_lifetime(bytes: copy bytes)
  public func encode(into bytes: inout MutableRawSpan) {
    info.encode(into: &bytes)
    capabilities.encode(into: &bytes, at: RegionInfo.wireSize)
  }
}
