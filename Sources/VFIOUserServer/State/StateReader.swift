internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

/// Reads a stream of sections, which may be anybody's.
///
/// All of it is checked when the reader is made: the form, the checksums, that it ends, and that nothing follows.
struct StateReader {
  private let file: StateFile
  /// The sections in order, without the one that ends the stream.
  let sections: [StateSection]

  init(_ file: StateFile) throws(StateError) {
    self.file = file
    try Self.checkHeader(file)
    var sections: [StateSection] = []
    var place = UInt64(StateForm.headerSize)
    while true {
      let section = try Self.section(at: place, of: file)
      place = section.content.upperBound
      if section.name == StateForm.end {
        try Self.checkEnd(section, sections.count, file)
        break
      }
      guard sections.count < StateForm.maxSections else {
        throw StateError("the state has more than \(StateForm.maxSections) sections")
      }
      sections.append(section)
    }
    guard place == file.size else {
      throw StateError("\(file.size - place) bytes follow the end of the state")
    }
    self.sections = sections
  }

  /// The content of a section as a value of a type.
  func decode<State: Decodable>(_ type: State.Type, _ section: StateSection) throws(StateError)
    -> State
  {
    guard section.size <= StateForm.maxContent else {
      throw StateError(
        "section \(section.name) has \(section.size) bytes, at most \(StateForm.maxContent) are allowed"
      )
    }
    let bytes = try Self.bytes(at: section.content, of: file)
    return try StateDecoder.decode(type, StateValue(decoding: bytes), version: section.version)
  }

  /// A part of the content of a section.
  ///
  /// - Precondition: it is small enough to be held.
  func bytes(of section: StateSection, at offset: UInt64, count: Int) throws(StateError) -> [UInt8]
  {
    let start = section.content.lowerBound + offset
    guard offset <= section.size, UInt64(count) <= section.size - offset else {
      throw StateError(
        "section \(section.name) ends at \(section.size), in front of \(offset + UInt64(count))")
    }
    return try Self.bytes(at: start..<start + UInt64(count), of: file)
  }

  // MARK: Checks

  private static func checkHeader(_ file: StateFile) throws(StateError) {
    let header = try bytes(at: 0..<UInt64(StateForm.headerSize), of: file)
    guard Array(header[..<8]) == StateForm.magic else { throw StateError("this is not a state") }
    let version = header.span.littleEndian(at: 8, as: UInt32.self)
    guard version == StateForm.version else {
      throw StateError(
        "the state has form \(version), this program knows form \(StateForm.version)")
    }
    guard header.span.littleEndian(at: 12, as: UInt32.self) == 0 else {
      throw StateError("the state has unknown flags")
    }
  }

  /// Reads the header of a section, and compares the checksum.
  private static func section(at place: UInt64, of file: StateFile) throws(StateError)
    -> StateSection
  {
    let header = try bytes(at: place..<place + UInt64(StateForm.sectionHeaderSize), of: file)
    let nameSize = Int(header.span.littleEndian(at: 4, as: UInt16.self))
    let size: UInt64 = header.span.littleEndian(at: 8)
    guard 1...StateForm.maxName ~= nameSize else {
      throw StateError(
        "a section's name has \(nameSize) bytes, 1 to \(StateForm.maxName) are allowed")
    }
    let nameStart = place + UInt64(StateForm.sectionHeaderSize)
    let name = try bytes(at: nameStart..<nameStart + UInt64(nameSize), of: file)
    guard let text = String(validating: name, as: UTF8.self) else {
      throw StateError("the name of the section at \(place) is not UTF-8")
    }
    let start = nameStart + UInt64(nameSize)
    guard size <= file.size - start else {
      throw StateError(
        "the section \(text) has \(size) bytes, but only \(file.size - start) have come: the state is cut off"
      )
    }
    let section = StateSection(
      name: text, version: header.span.littleEndian(at: 6), content: start..<start + size)
    try compareChecksum(of: section, header, name, file)
    return section
  }

  private static func compareChecksum(
    of section: StateSection, _ header: [UInt8], _ name: [UInt8], _ file: StateFile
  ) throws(StateError) {
    var sum = CRC32C()
    sum.update(header.span.extracting(4...))
    sum.update(name.span)
    var place = section.content.lowerBound
    while place < section.content.upperBound {
      let end = min(place + 65_536, section.content.upperBound)
      let piece = try bytes(at: place..<end, of: file)
      sum.update(piece.span)
      place = end
    }
    let expected = header.span.littleEndian(at: 0, as: UInt32.self)
    guard sum.value == expected else {
      throw StateError(
        "the section \(section.name) is damaged: its checksum is \(hex(sum.value)) instead of \(hex(expected))"
      )
    }
  }

  private static func checkEnd(_ end: StateSection, _ count: Int, _ file: StateFile)
    throws(StateError)
  {
    guard end.size == 4 else {
      throw StateError("the end of the state has \(end.size) bytes instead of 4")
    }
    let content = try bytes(at: end.content, of: file)
    let announced = content.span.littleEndian(at: 0, as: UInt32.self)
    guard Int(announced) == count else {
      throw StateError("the state has \(count) sections, its end counts \(announced)")
    }
  }

  private static func bytes(at range: Range<UInt64>, of file: StateFile) throws(StateError)
    -> [UInt8]
  {
    guard range.upperBound <= file.size else {
      throw StateError(
        "the state is cut off: it has \(file.size) bytes, \(range.upperBound) are needed")
    }
    do {
      return try file.bytes(at: range.lowerBound, count: range.count)
    } catch {
      throw StateError("the state cannot be read: \(error)")
    }
  }
}

extension StateSection {
  /// Bytes of the content.
  var size: UInt64 { content.upperBound - content.lowerBound }
}
