internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

/// Writes a stream of sections.
struct StateWriter {
  let file: StateFile
  private var count: UInt32 = 0

  /// Begins a stream.
  ///
  /// - Throws: ``StateError`` when there is no memory.
  init(limit: UInt64) throws(StateError) {
    do {
      file = try StateFile(limit: limit)
    } catch {
      throw StateError("no memory for a state: \(error)")
    }
    var header = StateForm.magic
    header.append(littleEndian: StateForm.version)
    header.append(littleEndian: UInt32(0))
    try append(header)
  }

  /// Adds a section with what a `Codable` type consists of.
  mutating func add(_ name: String, version: UInt16 = 1, _ state: some Encodable) throws(StateError)
  {
    let content = try StateEncoder.value(of: state).encoded()
    guard content.count <= StateForm.maxContent else {
      throw StateError(
        "the section \(name) has \(content.count) bytes, at most \(StateForm.maxContent) are allowed"
      )
    }
    try add(name, version: version, content: content)
  }

  /// Adds a section.
  mutating func add(_ name: String, version: UInt16, content: [UInt8]) throws(StateError) {
    guard count < StateForm.maxSections || name == StateForm.end else {
      throw StateError("a state has at most \(StateForm.maxSections) sections")
    }
    var section: [UInt8] = []
    section.append(littleEndian: UInt16(name.utf8.count))
    section.append(littleEndian: version)
    section.append(littleEndian: UInt64(content.count))
    section += Array(name.utf8)
    var sum = CRC32C()
    sum.update(section.span)
    sum.update(content.span)
    var checksum: [UInt8] = []
    checksum.append(littleEndian: sum.value)
    try append(checksum + section)
    try append(content)
    count += 1
  }

  /// Ends the stream.
  mutating func end() throws(StateError) {
    var content: [UInt8] = []
    content.append(littleEndian: count)
    try add(StateForm.end, version: 1, content: content)
  }

  private func append(_ bytes: [UInt8]) throws(StateError) {
    do {
      try file.append(bytes.span)
    } catch {
      throw StateError("a state of more than \(file.size) bytes cannot be kept: \(error)")
    }
  }
}
