public import VFIOUserProtocol
internal import VFIOUserTransport

extension Client {
  /// What the device has (`VFIO_USER_DEVICE_GET_INFO`).
  ///
  /// - Throws: ``ClientError/implausibleReply(_:_:)`` beyond 100 regions or 50 interrupt types.
  public func deviceInfo() throws(ClientError) -> DeviceInfo {
    let info: DeviceInfo = try call(
      .deviceGetInfo, DeviceInfo.request())
    guard info.regionCount <= 100, info.interruptTypeCount <= 50 else {
      throw .implausibleReply(
        .deviceGetInfo, "\(info.regionCount) regions, \(info.interruptTypeCount) interrupt types")
    }
    return info
  }

  /// One of the device's regions (`VFIO_USER_DEVICE_GET_REGION_INFO`).
  public func regionInfo(_ index: RegionIndex) throws(ClientError) -> RegionInfo {
    let info: RegionInfo = try call(
      .deviceGetRegionInfo, RegionInfo.request(index))
    guard info.index == index else {
      throw .implausibleReply(.deviceGetRegionInfo, "it is about region \(info.index.rawValue)")
    }
    return info
  }

  /// One of the device's interrupt types (`VFIO_USER_DEVICE_GET_IRQ_INFO`).
  public func interruptInfo(_ index: InterruptIndex) throws(ClientError) -> InterruptInfo {
    let info: InterruptInfo = try call(
      .deviceGetIRQInfo, InterruptInfo.request(index))
    guard info.index == index else {
      throw .implausibleReply(.deviceGetIRQInfo, "it is about type \(info.index.rawValue)")
    }
    return info
  }

  /// Puts the device into its state after power-on (`VFIO_USER_DEVICE_RESET`).
  public func reset() throws(ClientError) {
    try call(.deviceReset, NoPayload())
  }
}

/// The payload of a command that has none.
struct NoPayload: WireEncodable {
  var wireSize: Int { 0 }
  @_lifetime(bytes: copy bytes)
  func encode(into bytes: inout MutableRawSpan) {}
}
