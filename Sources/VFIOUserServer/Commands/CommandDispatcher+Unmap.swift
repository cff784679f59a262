internal import Logging
internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

/// A DMA_UNMAP that is answered when the accesses to its windows have ended, or at a timeout.
struct PendingUnmap {
  let header: Header
  let request: DMAUnmap
  let removal: GuestMemory.Removal
  let deadline: Deadline

  /// Whether a command after the unmap has to wait for it.
  func keepsWaiting(_ command: Command) -> Bool {
    !header.wantsReply || command == .dmaMap || command == .dmaUnmap
  }
}

extension CommandDispatcher {
  /// `VFIO_USER_DMA_UNMAP`; the reply echoes the request.
  ///
  /// - Returns: the pending unmap, if accesses to its windows are in progress; pass it to
  ///   ``finishUnmap(_:into:)`` until that returns nil.
  func unmapMemory(
    _ header: Header, _ payload: Span<UInt8>, into outbox: inout Outbox
  ) throws(Errno) -> PendingUnmap? {
    let request = try decode(DMAUnmap.self, payload)
    guard !request.flags.contains(.getDirtyBitmap) else { throw .notSupported }
    guard let removal = try startRemoving(request) else {
      reply(to: header, request, into: &outbox)
      return nil
    }
    let unmap = PendingUnmap(
      header: header, request: request, removal: removal,
      deadline: .after(options.quiesceTimeout))
    device.quiesce(removal.busyWindows)
    // The device may have ended its accesses in the callback.
    return finishUnmap(unmap, into: &outbox)
  }

  private func startRemoving(_ request: DMAUnmap) throws(Errno) -> GuestMemory.Removal? {
    guard request.flags.contains(.all) else {
      return try core.memory.startRemoving(
        address: request.address, size: request.size, telling: quiet)
    }
    guard request.address == 0, request.size == 0 else { throw .invalidArgument }
    return core.memory.startRemovingAll(telling: quiet)
  }

  /// Answers a pending unmap, if it can be answered.
  ///
  /// - Returns: the unmap, if it cannot be answered yet.
  func finishUnmap(_ unmap: PendingUnmap, into outbox: inout Outbox) -> PendingUnmap? {
    if core.memory.finish(unmap.removal) {
      reply(to: unmap.header, unmap.request, into: &outbox)
      return nil
    }
    guard unmap.deadline.hasPassed else { return unmap }
    core.memory.cancel(unmap.removal)
    logger.error(
      "the device does not let go of a window in time",
      metadata: ["address": "0x\(String(unmap.request.address, radix: 16))"])
    refuse(unmap.header, .resourceBusy, into: &outbox)
    return nil
  }
}
