internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

extension Endpoint {
  /// Bytes of a region, 0 when the device does not have it.
  func regionSize(_ index: RegionIndex) -> UInt64 {
    if index == .configuration { return UInt64(ConfigurationSpace.size) }
    return description.bars[Int(index.rawValue)]?.size ?? 0
  }

  /// Refuses an access that leaves its region, or is larger than was agreed.
  private func admit(_ access: RegionAccess) throws(Errno) {
    let (end, wraps) = access.offset.addingReportingOverflow(UInt64(access.count))
    guard !wraps, end <= regionSize(access.region), access.count <= options.maxDataTransfer else {
      throw .invalidArgument
    }
  }

  /// `VFIO_USER_REGION_READ`.
  func readRegion(
    _ header: Header, _ payload: Span<UInt8>, into outbox: inout Outbox
  ) throws(Errno) {
    let access = try decode(RegionAccess.self, payload)
    guard payload.count == RegionAccess.wireSize else { throw .invalidArgument }
    try admit(access)
    let size = RegionAccess.wireSize + Int(access.count)
    try outbox.append(
      header.reply(payload: 0), payload: size, discarding: header.flags.contains(.noReply)
    ) { (bytes) throws(Errno) in
      access.encode(into: &bytes)
      var data = bytes._mutatingExtracting(RegionAccess.wireSize...)
      try read(access, into: &data)
    }
  }

  private func read(_ access: RegionAccess, into data: inout MutableRawSpan) throws(Errno) {
    guard access.count > 0 else { return }
    guard access.region == .configuration else { return try device.read(access, into: &data) }
    bus.configuration.read(
      at: Int(access.offset), into: &data, interruptPending: bus.interrupts.level)
  }

  /// `VFIO_USER_REGION_WRITE`.
  func writeRegion(
    _ header: Header, _ payload: Span<UInt8>, into outbox: inout Outbox
  ) throws(Errno) {
    let access = try decode(RegionAccess.self, payload)
    guard payload.count == RegionAccess.wireSize + Int(access.count) else {
      throw .invalidArgument
    }
    try admit(access)
    try write(access, from: payload.extracting(RegionAccess.wireSize...))
    reply(to: header, access, into: &outbox)
  }

  /// `VFIO_USER_REGION_WRITE_MULTI`: in order, up to the first that fails.
  func writeRegions(
    _ header: Header, _ payload: Span<UInt8>, into outbox: inout Outbox
  ) throws(Errno) {
    let writes: RegionWrites
    do {
      writes = try RegionWrites(decoding: payload)
    } catch {
      throw .invalidArgument
    }
    for index in 0..<writes.count {
      let access = writes.entry(at: index).access
      try admit(access)
      try write(access, from: writes.data(at: index))
    }
    reply(to: header, RegionWriteMultiReply(writeCount: UInt64(writes.count)), into: &outbox)
  }

  private func write(_ access: RegionAccess, from data: Span<UInt8>) throws(Errno) {
    guard access.count > 0 else { return }
    guard access.region == .configuration else { return try device.write(access, from: data) }
    bus.configuration.write(at: Int(access.offset), from: data)
    bus.interrupts.setDisabledByCommand(bus.configuration.interruptDisabled)
  }
}
