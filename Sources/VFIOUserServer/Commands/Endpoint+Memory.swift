internal import Logging
internal import Synchronization
internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

extension Endpoint {
  /// `VFIO_USER_DMA_MAP`.
  func mapMemory(
    _ header: Header, _ payload: Span<UInt8>, _ descriptors: inout DescriptorList,
    into outbox: inout Outbox
  ) throws(Errno) {
    let request = try decode(DMAMap.self, payload)
    guard descriptors.count <= 1 else { throw .invalidArgument }
    let isShared = !descriptors.isEmpty
    try bus.memory.add(request, descriptors.takeFirst(), limit: options.maxDMAWindows)
    if !isShared, request.flags.contains(.writable) { noteUnsharedMemory(request) }
    acknowledge(header, into: &outbox)
  }

  /// Says once per client that its memory is reached by messages, and what to do about it.
  ///
  /// Small windows say nothing: QEMU registers the mappable areas of devices, ours too, without a
  /// descriptor.
  private func noteUnsharedMemory(_ request: DMAMap) {
    guard request.size >= 64 << 20, !hasNotedUnsharedMemory.exchange(true, ordering: .relaxed)
    else { return }
    logger.notice(
      """
      the client does not share its memory: every DMA to it goes by messages, which is slow. \
      With QEMU use -object memory-backend-memfd,id=mem,size=...,share=on and \
      -machine ...,memory-backend=mem
      """,
      metadata: [
        "address": "0x\(String(request.address, radix: 16))",
        "size": "0x\(String(request.size, radix: 16))",
      ])
  }

  /// Arms the device for a new client, with what only a client does that knows the device's state:
  /// a reset, an eventfd for an interrupt, or the bus master bit.
  ///
  /// QEMU resets each device when the machine starts.
  func armIfSetUp(_ header: Header, _ payload: Span<UInt8>) {
    guard !bus.memory.isArmed else { return }
    switch header.command {
    case .deviceReset: bus.memory.arm()
    case .deviceSetIRQs:
      guard let request = try? SetInterrupts(decoding: payload) else { return }
      if request.data == .eventDescriptors, request.action == .trigger { bus.memory.arm() }
    case .regionWrite:
      guard let access = try? RegionAccess(decoding: payload) else { return }
      if setsBusMaster(access, payload.extracting(RegionAccess.wireSize...)) { bus.memory.arm() }
    case .regionWriteMulti:
      guard let writes = try? RegionWrites(decoding: payload) else { return }
      for index in 0..<writes.count
      where setsBusMaster(writes.entry(at: index).access, writes.data(at: index)) {
        bus.memory.arm()
      }
    default: break
    }
  }

  /// Whether a write sets bit 2 of the command register.
  private func setsBusMaster(_ access: RegionAccess, _ data: Span<UInt8>) -> Bool {
    let command = UInt64(ConfigurationSpace.Offset.command)
    guard access.region == .configuration, access.offset <= command,
      let place = Int(exactly: command - access.offset), place < data.count
    else { return false }
    return data[place] & 1 << 2 != 0
  }
}
