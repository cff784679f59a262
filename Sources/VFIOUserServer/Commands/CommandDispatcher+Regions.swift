internal import VFIOUserTransport
internal import SystemPackage

extension CommandDispatcher {
  /// The region of an access; throws `EINVAL` if the access leaves its region, `E2BIG` if it is larger than
  /// `max_data_xfer_size`.
  private func admit(_ access: RegionAccess) throws(Errno) -> Region {
    guard let region = core.regions[access.region], access.range(within: region.size) != nil
    else { throw .invalidArgument }
    guard access.count <= options.maxDataTransfer else { throw .argListTooLong }
    return region
  }

  /// `VFIO_USER_REGION_READ`.
  func readRegion(
    _ header: Header, _ payload: Span<UInt8>, into outbox: inout Outbox
  ) throws(Errno) {
    let access = try decode(RegionAccess.self, payload)
    do { try access.requireNoData(in: payload) } catch { throw .invalidArgument }
    let region = try admit(access)
    let size = RegionAccess.wireSize + Int(access.count)
    var bytes = try outbox.reserve(payload: size, isZeroed: !isFilledWhole(region))
    access.encode(into: &bytes)
    var data = bytes._mutatingExtracting(RegionAccess.wireSize...)
    try read(region, access, into: &data)
    counters.bytesRead.add(UInt64(access.count))
    guard header.wantsReply else { return }
    outbox.commit(header.reply(payload: 0), payload: size)
  }

  /// Whether every byte of a read is written, so that the buffer need not be zeroed.
  private func isFilledWhole(_ region: Region) -> Bool {
    guard region.parts.count == 1 else { return false }
    switch region.parts[0].owner {
    case .memory: return true
    case .device: return fillsReads
    default: return false
    }
  }

  /// `VFIO_USER_REGION_WRITE`.
  func writeRegion(
    _ header: Header, _ payload: Span<UInt8>, into outbox: inout Outbox
  ) throws(Errno) {
    let access = try decode(RegionAccess.self, payload)
    let data: Span<UInt8>
    do { data = try access.data(in: payload) } catch { throw .invalidArgument }
    try write(try admit(access), access, from: data)
    counters.bytesWritten.add(UInt64(access.count))
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
      try write(try admit(access), access, from: writes.data(at: index))
      counters.bytesWritten.add(UInt64(access.count))
    }
    reply(to: header, RegionWriteMultiReply(writeCount: UInt64(writes.count)), into: &outbox)
  }
}

// Splits an access at the borders of parts of the region with different owners.

extension CommandDispatcher {
  private func read(
    _ region: Region, _ access: RegionAccess, into data: inout MutableRawSpan
  ) throws(Errno) {
    guard access.count > 0 else { return }
    for part in region.parts {
      guard let piece = access.piece(in: part.range) else { continue }
      if piece.count == access.count { return try read(region, part, access, into: &data) }
      let start = Int(piece.offset - access.offset)
      var bytes = data._mutatingExtracting(start..<start + Int(piece.count))
      try read(region, part, piece, into: &bytes)
    }
  }

  private func read(
    _ region: Region, _ part: Region.Part, _ access: RegionAccess, into data: inout MutableRawSpan
  ) throws(Errno) {
    switch part.owner {
    case .device:
      try requireRunning()
      try device.read(access, into: &data)
    case .configuration: core.configuration.read(at: access.offset, into: &data)
    case .memory: try region.memory?.read(at: access.offset, into: &data)
    case .rom: core.regions.readROM(at: Int(access.offset), into: &data)
    case .nobody: break
    case .vectorTable:
      core.interrupts.readTable(at: Int(access.offset - part.range.lowerBound), into: &data)
    case .pendingBits:
      core.interrupts.readPending(at: Int(access.offset - part.range.lowerBound), into: &data)
    }
  }

  private func write(
    _ region: Region, _ access: RegionAccess, from data: Span<UInt8>
  ) throws(Errno) {
    guard region.flags.contains(.writable) else { throw .notPermitted }
    guard access.count > 0 else { return }
    for part in region.parts {
      guard let piece = access.piece(in: part.range) else { continue }
      if piece.count == access.count { return try write(region, part, access, from: data) }
      let start = Int(piece.offset - access.offset)
      try write(
        region, part, piece, from: data.extracting(start..<start + Int(piece.count)))
    }
  }

  private func write(
    _ region: Region, _ part: Region.Part, _ access: RegionAccess, from data: Span<UInt8>
  ) throws(Errno) {
    switch part.owner {
    case .device:
      try requireRunning()
      try device.write(access, from: data)
    case .configuration:
      let (asksForReset, failure) = core.configuration.write(at: access.offset, from: data)
      if asksForReset { reset() }
      device.configurationWritten(access)
      if let failure { throw failure }
    case .memory:
      try requireRunning()
      try region.memory?.write(at: access.offset, from: data)
      if region.isNotifying { device.memoryWritten(access) }
    case .vectorTable:
      core.interrupts.writeTable(at: Int(access.offset - part.range.lowerBound), from: data)
    case .rom, .pendingBits, .nobody: break
    }
  }
}

extension CommandDispatcher {
  /// Refuses what a device that is suspended cannot answer (`EBUSY`).
  private func requireRunning() throws(Errno) {
    guard migration?.isRunning ?? true else { throw .resourceBusy }
  }
}

extension RegionAccess {
  /// The part of the access that lies in a range; nil when none does.
  ///
  /// The access lies in its region, so its end does not wrap.
  fileprivate func piece(in range: Range<UInt64>) -> RegionAccess? {
    let start = max(offset, range.lowerBound)
    let end = min(offset + UInt64(count), range.upperBound)
    guard start < end else { return nil }
    return RegionAccess(offset: start, region: region, count: UInt32(end - start))
  }
}
