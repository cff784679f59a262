internal import VFIOUserTransport
internal import Logging
internal import SystemPackage

extension CommandDispatcher {
  /// `VFIO_USER_DMA_UNMAP`; the reply echoes the request.
  ///
  /// - Returns: the pending unmap, if accesses to its windows are in progress.
  func unmapMemory(
    _ header: Header, _ payload: Span<UInt8>, into outbox: inout Outbox
  ) throws(Errno) -> PendingReply? {
    let request = try decode(DMAUnmap.self, payload)
    let bitmap = try bitmap(of: request, payload)
    guard let removal = try startRemoving(request) else {
      acknowledge(header, request, bitmap, into: &outbox)
      return nil
    }
    let pending = PendingReply(
      header: header, deadline: .after(options.quiesceTimeout),
      work: .unmap(request, bitmap, removal))
    device.quiesce(removal.busyWindows)
    // The device may have ended its accesses in the callback.
    return finish(pending, into: &outbox)
  }

  /// The bitmap that is asked for; nil when none is.
  ///
  /// - Throws: `ENOTSUP` for a device that keeps no log; `EINVAL` when none is on, or the bitmap does not fit the
  ///   window or the reply.
  private func bitmap(of request: DMAUnmap, _ payload: Span<UInt8>) throws(Errno) -> DirtyBitmap? {
    guard request.flags.contains(.getDirtyBitmap) else { return nil }
    guard migration != nil else { throw .notSupported }
    guard logging.isOn, !request.flags.contains(.all),
      payload.count == DMAUnmap.wireSize + DirtyBitmap.wireSize
    else { throw .invalidArgument }
    let bitmap = try decode(DirtyBitmap.self, payload.extracting(DMAUnmap.wireSize...))
    let report = DMALoggingReport(
      address: request.address, length: request.size, pageSize: bitmap.pageSize)
    let whole = DMAUnmap.wireSize + DirtyBitmap.wireSize
    guard let size = try? report.bitmapSize(limit: options.messageLimit - Header.wireSize - whole),
      UInt64(size) == bitmap.size, request.argumentSize >= UInt32(whole + size)
    else { throw .invalidArgument }
    return bitmap
  }

  /// Answers an unmap, with the bitmap if one was asked for.
  private func acknowledge(
    _ header: Header, _ request: DMAUnmap, _ bitmap: DirtyBitmap?, into outbox: inout Outbox
  ) {
    guard header.wantsReply else { return }
    guard let bitmap else { return reply(to: header, request, into: &outbox) }
    let fixed = DMAUnmap.wireSize + DirtyBitmap.wireSize
    var answer = request
    answer.argumentSize = UInt32(fixed + Int(bitmap.size))
    outbox.append(header.reply(payload: 0), payload: fixed + Int(bitmap.size), discarding: false) {
      bytes in
      answer.encode(into: &bytes)
      var rest = bytes._mutatingExtracting(DMAUnmap.wireSize...)
      bitmap.encode(into: &rest)
      var bits = rest._mutatingExtracting(DirtyBitmap.wireSize...)
      // The log was on when the command came, and nothing else was served since that could end it.
      try? logging.report(request.address, request.size, size: bitmap.pageSize, into: &bits)
    }
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
  /// - Returns: whether it was answered.
  func finishUnmap(
    _ pending: PendingReply, _ request: DMAUnmap, _ bitmap: DirtyBitmap?,
    _ removal: GuestMemory.Removal, into outbox: inout Outbox
  ) -> Bool {
    if core.memory.finish(removal) {
      acknowledge(pending.header, request, bitmap, into: &outbox)
      return true
    }
    guard pending.deadline.hasPassed else { return false }
    core.memory.cancel(removal)
    logger.error(
      "the device does not let go of a window in time",
      metadata: ["address": "0x\(String(request.address, radix: 16))"])
    refuse(pending.header, .resourceBusy, into: &outbox)
    return true
  }
}
