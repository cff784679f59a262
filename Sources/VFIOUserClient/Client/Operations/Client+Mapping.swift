extension Client {
  /// Maps the mappable areas of a region, or returns the existing mapping.
  ///
  /// - Throws: ``ClientError/unmappable(_:_:)`` if there are no such areas, if they overlap or are not whole
  ///   pages, or if the device's file is too short for them or not allowed by ``ClientOptions/memoryFiles``.
  public func mapRegion(
    _ index: RegionIndex, timeout: Duration? = nil
  ) throws(ClientError) -> MappedRegion {
    let deadline = timeout.deadline
    let connection = try connection(before: deadline)
    if let mapped = mappedRegions.region(index, on: connection) { return mapped }
    return mappedRegions.share(
      try MappedRegion(
        connection.region(index, deadline), connection, files: options.memoryFiles))
  }

  /// Reads a number: from the mapping if it is mapped, else with a message.
  public func load<Number: FixedWidthInteger & BitwiseCopyable>(
    _ mapped: MappedRegion, at offset: UInt64, as type: Number.Type = Number.self,
    timeout: Duration? = nil
  ) throws(ClientError) -> Number {
    guard mapped.isMapped(.readable, at: offset, count: MemoryLayout<Number>.size) else {
      return try load(mapped.region.index, at: offset, timeout: timeout)
    }
    return try mapped.load(at: offset)
  }

  /// Writes a number: to the mapping if it is mapped, else with a message.
  public func store<Number: FixedWidthInteger & BitwiseCopyable>(
    _ number: Number, _ mapped: MappedRegion, at offset: UInt64, timeout: Duration? = nil
  ) throws(ClientError) {
    guard mapped.isMapped(.writable, at: offset, count: MemoryLayout<Number>.size) else {
      return try store(number, mapped.region.index, at: offset, timeout: timeout)
    }
    try mapped.store(number, at: offset)
  }

  /// Reads bytes: mapped parts from the mapping, other parts with messages.
  public func read(
    _ mapped: MappedRegion, at offset: UInt64, count: Int, timeout: Duration? = nil
  ) throws(ClientError) -> [UInt8] {
    let deadline = timeout.deadline
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count)
    for part in mapped.parts(.readable, offset, count) {
      bytes +=
        part.isMapped
        ? try mapped.read(at: part.offset, count: part.count)
        : try read(mapped.region.index, at: part.offset, count: part.count, before: deadline)
    }
    return bytes
  }

  /// Writes bytes: mapped parts to the mapping, other parts with messages.
  public func write(
    _ mapped: MappedRegion, at offset: UInt64, from bytes: [UInt8], timeout: Duration? = nil
  ) throws(ClientError) {
    let deadline = timeout.deadline
    var done = 0
    for part in mapped.parts(.writable, offset, bytes.count) {
      let data = bytes.span.extracting(done..<done + part.count)
      if part.isMapped {
        try mapped.write(at: part.offset, from: data)
      } else {
        try write(mapped.region.index, at: part.offset, from: data, before: deadline)
      }
      done += part.count
    }
  }
}

// MARK: For tasks

extension Client {
  /// Maps the mappable areas of a region; suspends the task.
  public func mapRegion(
    _ index: RegionIndex, timeout: Duration? = nil
  ) async throws(ClientError) -> MappedRegion {
    let deadline = timeout.deadline
    let connection = try await connection(before: deadline)
    if let mapped = mappedRegions.region(index, on: connection) { return mapped }
    return mappedRegions.share(
      try MappedRegion(
        await connection.region(index, deadline), connection, files: options.memoryFiles))
  }

  /// Reads a number: from the mapping if it is mapped, else with a message.
  public func load<Number: FixedWidthInteger & BitwiseCopyable & Sendable>(
    _ mapped: MappedRegion, at offset: UInt64, as type: Number.Type = Number.self,
    timeout: Duration? = nil
  ) async throws(ClientError) -> Number {
    guard mapped.isMapped(.readable, at: offset, count: MemoryLayout<Number>.size) else {
      return try await load(mapped.region.index, at: offset, timeout: timeout)
    }
    return try mapped.load(at: offset)
  }

  /// Writes a number: to the mapping if it is mapped, else with a message.
  public func store<Number: FixedWidthInteger & BitwiseCopyable & Sendable>(
    _ number: Number, _ mapped: MappedRegion, at offset: UInt64, timeout: Duration? = nil
  ) async throws(ClientError) {
    guard mapped.isMapped(.writable, at: offset, count: MemoryLayout<Number>.size) else {
      return try await store(number, mapped.region.index, at: offset, timeout: timeout)
    }
    try mapped.store(number, at: offset)
  }

  /// Reads bytes: mapped parts from the mapping, other parts with messages.
  public func read(
    _ mapped: MappedRegion, at offset: UInt64, count: Int, timeout: Duration? = nil
  ) async throws(ClientError) -> [UInt8] {
    let deadline = timeout.deadline
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count)
    for part in mapped.parts(.readable, offset, count) {
      bytes +=
        part.isMapped
        ? try mapped.read(at: part.offset, count: part.count)
        : try await read(
          mapped.region.index, at: part.offset, count: part.count, before: deadline)
    }
    return bytes
  }

  /// Writes bytes: mapped parts to the mapping, other parts with messages.
  public func write(
    _ mapped: MappedRegion, at offset: UInt64, from bytes: [UInt8], timeout: Duration? = nil
  ) async throws(ClientError) {
    let deadline = timeout.deadline
    var done = 0
    for part in mapped.parts(.writable, offset, bytes.count) {
      let data = Array(bytes[done..<done + part.count])
      if part.isMapped {
        try mapped.write(at: part.offset, from: data)
      } else {
        try await write(mapped.region.index, at: part.offset, from: data, before: deadline)
      }
      done += part.count
    }
  }
}

extension MappedRegion {
  /// A part of an access that is either mapped or not.
  struct Part: Equatable {
    let offset: UInt64
    let count: Int
    let isMapped: Bool
  }

  /// Splits an access at the borders of the areas; the parts before, between and after them need messages.
  func parts(_ flags: RegionFlags, _ offset: UInt64, _ count: Int) -> [Part] {
    let (last, wraps) = offset.addingReportingOverflow(UInt64(max(0, count)))
    // The device refuses an access that wraps.
    guard region.flags.contains(flags), !wraps, count > 0 else {
      return [Part(offset: offset, count: count, isMapped: false)]
    }
    var parts: [Part] = []
    var place = offset
    func add(until end: UInt64, isMapped: Bool) {
      guard end > place else { return }
      parts.append(Part(offset: place, count: Int(end - place), isMapped: isMapped))
      place = end
    }
    for area in areas where area.offset < last && area.offset + area.size > offset {
      add(until: area.offset, isMapped: false)
      add(until: min(last, area.offset + area.size), isMapped: true)
    }
    add(until: last, isMapped: false)
    return parts
  }
}
