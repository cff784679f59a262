internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

extension Endpoint {
  /// `VFIO_USER_DEVICE_GET_INFO`.
  func getInfo(_ header: Header, _ payload: Span<UInt8>, into outbox: inout Outbox) throws(Errno) {
    _ = try decode(DeviceInfo.self, payload)
    reply(
      to: header,
      DeviceInfo(
        flags: [.reset, .pci], regionCount: RegionIndex.standardCount,
        interruptTypeCount: InterruptIndex.standardCount),
      into: &outbox)
  }

  /// `VFIO_USER_DEVICE_GET_REGION_INFO`.
  func getRegionInfo(
    _ header: Header, _ payload: Span<UInt8>, into outbox: inout Outbox
  ) throws(Errno) {
    let request = try decode(RegionInfo.self, payload)
    guard request.index.rawValue < RegionIndex.standardCount else { throw .invalidArgument }
    let size = regionSize(request.index)
    reply(
      to: header,
      RegionInfo(
        flags: size > 0 ? [.readable, .writable] : [], index: request.index, size: size),
      into: &outbox)
  }

  /// `VFIO_USER_DEVICE_GET_IRQ_INFO`.
  func getInterruptInfo(
    _ header: Header, _ payload: Span<UInt8>, into outbox: inout Outbox
  ) throws(Errno) {
    let request = try decode(InterruptInfo.self, payload)
    guard request.index.rawValue < InterruptIndex.standardCount else { throw .invalidArgument }
    let (flags, count) = bus.interrupts.info(request.index)
    reply(
      to: header, InterruptInfo(flags: flags, index: request.index, count: count), into: &outbox)
  }

  /// `VFIO_USER_DEVICE_SET_IRQS`.
  func setInterrupts(
    _ header: Header, _ payload: Span<UInt8>, _ descriptors: inout DescriptorList,
    into outbox: inout Outbox
  ) throws(Errno) {
    let request = try decode(SetInterrupts.self, payload)
    try bus.interrupts.set(request, payload, &descriptors)
    acknowledge(header, into: &outbox)
  }

  /// `VFIO_USER_DEVICE_RESET`.
  ///
  /// Windows and eventfds stay; levels and pending bits clear.
  func resetDevice(
    _ header: Header, _ payload: Span<UInt8>, into outbox: inout Outbox
  ) throws(Errno) {
    guard payload.isEmpty else { throw .invalidArgument }
    bus.configuration.reset()
    bus.interrupts.reset()
    device.reset()
    acknowledge(header, into: &outbox)
  }
}
