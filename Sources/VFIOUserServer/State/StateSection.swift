internal import VFIOUserProtocol

/// The form of a stream: a header, sections, and a section that ends it.
///
/// | stream | |
/// |---|---|
/// | 0 | `VFUSTATE` |
/// | 8 | version of the form, 4 bytes |
/// | 12 | zero, 4 bytes |
///
/// | section | |
/// |---|---|
/// | 0 | CRC-32C of all that follows of the section, 4 bytes |
/// | 4 | bytes of the name, 2 bytes |
/// | 6 | version of the section, 2 bytes |
/// | 8 | bytes of the content, 8 bytes |
/// | 16 | name, then content |
enum StateForm {
  static let magic = Array("VFUSTATE".utf8)
  static let version: UInt32 = 1
  static let headerSize = 16
  static let sectionHeaderSize = 16
  /// Most bytes of a name.
  static let maxName = 64
  /// Most bytes of a section that is not memory: such a section is read as a whole.
  static let maxContent = 16 << 20
  /// Most sections; memory comes in several.
  static let maxSections = 65_536
  /// The name of the last section, whose content counts the sections before it (4 bytes).
  static let end = "end"
}

/// A section of a stream, without its content.
struct StateSection: Equatable, Sendable {
  let name: String
  let version: UInt16
  /// Where the content is in the stream.
  let content: Range<UInt64>
}
