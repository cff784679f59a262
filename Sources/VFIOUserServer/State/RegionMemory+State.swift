internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

/// Memory behind a region in a stream: sections with an offset (8 bytes) and the bytes from there.
///
/// What no section has is zero; of two that have the same bytes the later one counts.
extension RegionMemory {
  /// Most bytes of one section.
  private static let chunk = 512 << 10
  private static let page = 4096

  /// The name of the sections of a region.
  static func sectionName(_ region: RegionIndex) -> String { "memory \(region.rawValue)" }

  /// Most bytes that the sections of this memory take.
  var stateLimit: UInt64 {
    // In the worst case every other page is zero.
    let sections = size / UInt64(2 * Self.page) + 2
    return size + sections * UInt64(StateForm.sectionHeaderSize + StateForm.maxName + 8)
  }

  /// Adds sections with what is not zero, or, with what a reader has already, with what is different.
  func save(
    as name: String, into writer: inout StateWriter, unlike known: StateFile? = nil
  ) throws(StateError) {
    var run: [UInt8] = []
    var runStart: UInt64 = 0
    var place: UInt64 = 0
    while place < size {
      let count = Int(min(UInt64(Self.page), size - place))
      let bytes = try stateBytes(at: place, count: count)
      if try isNew(bytes, at: place, known) {
        if run.isEmpty { runStart = place }
        run += bytes
      } else {
        try Self.flush(&run, runStart, name, &writer)
      }
      if run.count >= Self.chunk { try Self.flush(&run, runStart, name, &writer) }
      place += UInt64(count)
    }
    try Self.flush(&run, runStart, name, &writer)
  }

  private func isNew(_ bytes: [UInt8], at place: UInt64, _ known: StateFile?) throws(StateError)
    -> Bool
  {
    guard let known else { return bytes.contains { $0 != 0 } }
    do {
      return try known.bytes(at: place, count: bytes.count) != bytes
    } catch {
      throw StateError("the copy of a region's memory cannot be read: \(error)")
    }
  }

  /// A copy of everything.
  func copy() throws(StateError) -> StateFile {
    do {
      let copy = try StateFile(limit: size)
      var place: UInt64 = 0
      while place < size {
        let count = Int(min(65_536, size - place))
        let piece = try read(at: place, count: count)
        try copy.append(piece.span)
        place += UInt64(count)
      }
      return copy
    } catch {
      throw StateError("no memory for a copy of a region's memory: \(error)")
    }
  }

  private static func flush(
    _ run: inout [UInt8], _ start: UInt64, _ name: String, _ writer: inout StateWriter
  ) throws(StateError) {
    guard !run.isEmpty else { return }
    var content: [UInt8] = []
    content.append(littleEndian: start)
    try writer.add(name, version: 1, content: content + run)
    run.removeAll(keepingCapacity: true)
  }

  private func stateBytes(at offset: UInt64, count: Int) throws(StateError) -> [UInt8] {
    do {
      return try read(at: offset, count: count)
    } catch {
      throw StateError("the memory of a region cannot be read at \(hex(offset)): \(error)")
    }
  }

  /// Checks whether a section fits into this memory.
  func check(_ section: StateSection, _ reader: StateReader) throws(StateError) {
    let start = try Self.start(of: section, reader)
    let count = section.size - 8
    guard start <= size, count <= size - start else {
      throw StateError(
        "the section \(section.name) has \(count) bytes for \(hex(start)), the region has \(hex(size))"
      )
    }
  }

  private static func start(
    of section: StateSection, _ reader: StateReader
  ) throws(StateError) -> UInt64 {
    let bytes = try reader.bytes(of: section, at: 0, count: 8)
    return bytes.span.littleEndian(at: 0)
  }

  /// Takes over what sections have that were checked.
  func apply(_ sections: [StateSection], _ reader: StateReader) throws(StateError) {
    fill()
    for section in sections {
      let start = try Self.start(of: section, reader)
      var place: UInt64 = 8
      while place < section.size {
        let count = Int(min(65_536, section.size - place))
        let bytes = try reader.bytes(of: section, at: place, count: count)
        do { try write(at: start + place - 8, from: bytes.span) } catch {
          throw StateError("the memory of a region cannot be written: \(error)")
        }
        place += UInt64(count)
      }
    }
  }
}
