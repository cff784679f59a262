internal import VFIOUserTransport
internal import Logging
internal import SystemPackage

/// A DMA_UNMAP that is answered when the device has let go of its windows, or when that took too long.
struct PendingUnmap {
  let header: Header
  let request: DMAUnmap
  let removal: GuestMemory.Removal
  let deadline: Deadline

  /// Whether a command that comes behind the unmap has to wait for it.
  func keepsWaiting(_ command: Command) -> Bool {
    !header.wantsReply || command == .dmaMap || command == .dmaUnmap
  }
}

extension CommandDispatcher {
  /// `VFIO_USER_DMA_UNMAP`; the reply echoes the request.
  ///
  /// - Returns: the unmap, when accesses to its windows are under way; it goes to ``finishUnmap(_:into:)``
  ///   until that returns nil.
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
    // The device may have let go of them in there.
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

  /// Answers an unmap, if it can be answered.
  ///
  /// - Returns: the unmap again, when it cannot.
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
