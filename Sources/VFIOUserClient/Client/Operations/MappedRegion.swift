internal import LinuxPrimitives
internal import Synchronization

/// The mapped areas of a region, which are read and written without messages.
///
/// The device may change the memory at any time, and may truncate its file, which makes accesses fail with an
/// error. The areas are unmapped with the last reference; mapping the region before that returns the same
/// object. It belongs to one connection: when that is lost, or the client is gone, accesses fail with
/// ``ClientError/disconnected(_:)``, and after a reconnection the region has to be mapped again.
///
/// `Client.load`, `store`, `read` and `write` also accept a mapped region, and use messages for what is not
/// mapped.
public final class MappedRegion: Sendable {
  /// The region.
  public let region: Region
  /// The mapped areas, in order.
  public let areas: [SparseMapArea]
  private let mappings: [MappedMemory]
  private let connection: Connection

  init(
    _ region: Region, _ connection: Connection, files: MemoryFiles
  ) throws(ClientError) {
    guard let file = region.descriptor, !region.mappableAreas.isEmpty else {
      throw .unmappable(region.index, "the device does not offer it")
    }
    self.region = region
    self.connection = connection
    let areas = region.mappableAreas.filter { $0.size > 0 }.sorted { $0.offset < $1.offset }
    for (area, next) in zip(areas, areas.dropFirst()) {
      // No overflow: the areas of a `Region` lie in it.
      guard area.offset + area.size <= next.offset else {
        throw .unmappable(
          region.index, "its areas at \(area.offset) and \(next.offset) overlap")
      }
    }
    self.areas = areas
    var mappings: [MappedMemory] = []
    do throws(MappingError) {
      for area in areas {
        mappings.append(
          try MappedMemory(
            file.descriptor, at: region.fileOffset + area.offset, size: area.size,
            readable: region.flags.contains(.readable),
            writable: region.flags.contains(.writable), files: files))
      }
    } catch {
      let remedy = error == .notMemory ? "; ClientOptions.memoryFiles allows others" : ""
      throw .unmappable(region.index, "\(error)\(remedy)")
    }
    self.mappings = mappings
  }

  /// Whether its connection is connected.
  func isUsable(on connection: Connection) -> Bool {
    self.connection === connection && !connection.isLost.load(ordering: .acquiring)
  }

  /// Whether it belongs to the same connection as another.
  func isUsable(like other: MappedRegion) -> Bool { connection === other.connection }

  /// Whether bytes can be read or written without a message.
  public func isMapped(_ flags: RegionFlags, at offset: UInt64, count: Int) -> Bool {
    place(flags, offset, count) != nil
  }

  /// Reads a number, little endian, with one load.
  ///
  /// - Throws: ``ClientError/notMapped(_:offset:count:)``, ``ClientError/truncatedMapping(_:offset:)``,
  ///   ``ClientError/disconnected(_:)``.
  public func load<Number: FixedWidthInteger & BitwiseCopyable>(
    at offset: UInt64, as type: Number.Type = Number.self
  ) throws(ClientError) -> Number {
    let size = MemoryLayout<Number>.size
    guard size <= 8 else { return try wide(offset) }
    let place = try require(.readable, offset, size)
    guard let bits = place.memory.load(place.offset, size: size) else {
      throw .truncatedMapping(region.index, offset: offset)
    }
    return Number(littleEndian: Number(truncatingIfNeeded: bits))
  }

  /// Writes a number, little endian, with one store.
  ///
  /// - Throws: as ``load(at:as:)``.
  public func store<Number: FixedWidthInteger & BitwiseCopyable>(
    _ number: Number, at offset: UInt64
  ) throws(ClientError) {
    let size = MemoryLayout<Number>.size
    let place = try require(.writable, offset, size)
    let bits = number.littleEndian
    let isDone =
      size <= 8
      ? place.memory.store(UInt64(truncatingIfNeeded: bits), place.offset, size: size)
      : unsafe withUnsafeBytes(of: bits) { unsafe place.memory.write(place.offset, from: $0) }
    guard isDone else { throw .truncatedMapping(region.index, offset: offset) }
  }

  /// Writes a number of 32 bits with one store: a doorbell.
  ///
  /// It is not generic, so that no caller in another module pays for that.
  ///
  /// - Throws: as ``load(at:as:)``.
  package func store(word: UInt32, at offset: UInt64) throws(ClientError) {
    let place = try require(.writable, offset, 4)
    guard place.memory.store(UInt64(word.littleEndian), place.offset, size: 4) else {
      throw .truncatedMapping(region.index, offset: offset)
    }
  }

  /// Copies bytes out.
  ///
  /// - Throws: as ``load(at:as:)``.
  public func read(at offset: UInt64, count: Int) throws(ClientError) -> [UInt8] {
    let place = try require(.readable, offset, count)
    var isDone = false
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      // Sound: the buffer has room for `count` bytes, all of which are written unless it fails.
      let target = unsafe UnsafeMutableRawBufferPointer(
        start: buffer.baseAddress, count: count)
      isDone = unsafe place.memory.read(place.offset, into: target)
      filled = isDone ? count : 0
    }
    guard isDone else { throw .truncatedMapping(region.index, offset: offset) }
    return bytes
  }

  /// Copies bytes to the caller's buffer.
  ///
  /// - Throws: as ``load(at:as:)``.
  public func read(at offset: UInt64, into bytes: inout MutableRawSpan) throws(ClientError) {
    let place = try require(.readable, offset, bytes.byteCount)
    let isDone = unsafe bytes.withUnsafeMutableBytes {
      unsafe place.memory.read(place.offset, into: $0)
    }
    guard isDone else { throw .truncatedMapping(region.index, offset: offset) }
  }

  /// Copies bytes in.
  ///
  /// - Throws: as ``load(at:as:)``.
  public func write(at offset: UInt64, from bytes: Span<UInt8>) throws(ClientError) {
    let place = try require(.writable, offset, bytes.count)
    let isDone = unsafe bytes.withUnsafeBytes {
      unsafe place.memory.write(place.offset, from: $0)
    }
    guard isDone else { throw .truncatedMapping(region.index, offset: offset) }
  }

  /// Copies bytes in.
  ///
  /// - Throws: as ``load(at:as:)``.
  public func write(at offset: UInt64, from bytes: [UInt8]) throws(ClientError) {
    try write(at: offset, from: bytes.span)
  }

  private func wide<Number: FixedWidthInteger & BitwiseCopyable>(
    _ offset: UInt64
  ) throws(ClientError) -> Number {
    let bytes = try read(at: offset, count: MemoryLayout<Number>.size)
    return bytes.span.littleEndian(at: 0)
  }
}

extension MappedRegion {
  /// The address of bytes of the region.
  private struct Place {
    let memory: MappedMemory
    let offset: UInt64
  }

  private func require(
    _ flags: RegionFlags, _ offset: UInt64, _ count: Int
  ) throws(ClientError) -> Place {
    guard !connection.isLost.load(ordering: .acquiring) else {
      throw .disconnected(connection.failure ?? .closedByUs)
    }
    guard let place = place(flags, offset, count) else {
      throw .notMapped(region.index, offset: offset, count: count)
    }
    return place
  }

  /// The area that contains an access and permits it; binary search.
  private func place(_ flags: RegionFlags, _ offset: UInt64, _ count: Int) -> Place? {
    guard count >= 0, region.flags.contains(flags) else { return nil }
    var low = 0
    var high = areas.count
    while low < high {
      let middle = low + (high - low) / 2
      if areas[middle].offset <= offset { low = middle + 1 } else { high = middle }
    }
    guard low > 0 else { return nil }
    let area = areas[low - 1]
    let start = offset - area.offset
    guard start <= area.size, UInt64(count) <= area.size - start else { return nil }
    return Place(memory: mappings[low - 1], offset: start)
  }
}
