internal import VFIOUserTransport
internal import Synchronization
internal import SystemPackage

extension CommandDispatcher {
  /// `VFIO_USER_DEVICE_GET_INFO`.
  func getInfo(_ header: Header, _ payload: Span<UInt8>, into outbox: inout Outbox) throws(Errno) {
    _ = try decode(DeviceInfo.self, payload)
    reply(
      to: header,
      DeviceInfo(
        flags: [.reset, .pci], regionCount: UInt32(core.regions.count),
        interruptTypeCount: InterruptIndex.standardCount),
      into: &outbox)
  }

  /// `VFIO_USER_DEVICE_GET_REGION_INFO`.
  func getRegionInfo(
    _ header: Header, _ payload: Span<UInt8>, into outbox: inout Outbox
  ) throws(Errno) {
    let request = try decode(RegionInfo.self, payload)
    guard let region = core.regions[request.index] else { throw .invalidArgument }
    let info = RegionInfo(flags: region.flags, index: region.index, size: region.size)
    let answer = RegionInfoReply(info, capabilities: region.capabilities)
      .limited(to: request.argumentSize)
    var descriptors = DescriptorList()
    if answer.isComplete, region.flags.contains(.mappable), let memory = region.memory {
      do {
        descriptors.append(try memory.descriptor.duplicate())
      } catch {
        throw error.code
      }
    }
    reply(to: header, answer, descriptors: descriptors, into: &outbox)
  }

  /// `VFIO_USER_DEVICE_GET_REGION_IO_FDS`.
  func getRegionSignals(
    _ header: Header, _ payload: Span<UInt8>, into outbox: inout Outbox
  ) throws(Errno) {
    let request = try decode(RegionIOFDsRequest.self, payload)
    guard let region = core.regions[request.index] else { throw .invalidArgument }
    let limit = clientDescriptorLimit.load(ordering: .relaxed)
    let parts = core.signals.subRegions(of: region.index, inPorts: region.isPorts, limit: limit)
    let answer = RegionIOFDsReply(index: region.index, subRegions: parts)
      .limited(to: request.argumentSize)
    do {
      let descriptors =
        answer.isComplete
        ? try core.signals.descriptors(of: region.index, limit: limit) : DescriptorList()
      reply(to: header, answer, descriptors: descriptors, into: &outbox)
    } catch {
      throw error.code
    }
  }

  /// `VFIO_USER_DEVICE_GET_IRQ_INFO`.
  func getInterruptInfo(
    _ header: Header, _ payload: Span<UInt8>, into outbox: inout Outbox
  ) throws(Errno) {
    let request = try decode(InterruptInfo.self, payload)
    guard request.index.rawValue < InterruptIndex.standardCount else { throw .invalidArgument }
    let (flags, count) = core.interrupts.info(request.index)
    reply(
      to: header, InterruptInfo(flags: flags, index: request.index, count: count), into: &outbox)
  }

  /// `VFIO_USER_DEVICE_SET_IRQS`.
  func setInterrupts(
    _ header: Header, _ payload: Span<UInt8>, _ descriptors: inout DescriptorList, surplus: Bool,
    into outbox: inout Outbox
  ) throws(Errno) {
    let request = try decode(SetInterrupts.self, payload)
    guard !surplus || request.data != .eventDescriptors else { throw .invalidArgument }
    try core.interrupts.set(request, payload, &descriptors)
    // Only a client whose driver has initialised the device sets eventfds.
    if request.data == .eventDescriptors, request.action == .trigger { core.memory.allowDMA() }
    acknowledge(header, into: &outbox)
  }

  /// `VFIO_USER_DEVICE_RESET`.
  func resetDevice(
    _ header: Header, _ payload: Span<UInt8>, into outbox: inout Outbox
  ) throws(Errno) {
    guard payload.isEmpty else { throw .invalidArgument }
    reset()
    acknowledge(header, into: &outbox)
  }
}
