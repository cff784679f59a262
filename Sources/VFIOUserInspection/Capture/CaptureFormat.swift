/// pcapng as it is written here (draft-ietf-opsawg-pcapng): little endian, an interface for each
/// socket, a packet for each message.
enum CaptureFormat {
  /// LINKTYPE_USER0: the packet is a message, from the first byte of its header.
  static let linkType: UInt16 = 147
  /// Wireshark reads no packet of more bytes (WTAP_MAX_PACKET_SIZE_STANDARD).
  static let longestPacket = 262_144
  /// Nanoseconds.
  static let resolution: UInt8 = 9

  enum Block {
    static let section: UInt32 = 0x0A0D_0D0A
    static let interface: UInt32 = 1
    static let packet: UInt32 = 6
    /// A block of a type for local use, which others skip: the bytes of the packet before it that were
    /// too many for one packet, behind their number.
    static let continuation: UInt32 = 0x8056_4655
  }

  enum Option {
    static let end: UInt16 = 0
    static let comment: UInt16 = 1
    static let name: UInt16 = 2
    static let description: UInt16 = 3
    static let packetFlags: UInt16 = 2
    static let resolution: UInt16 = 9
    static let application: UInt16 = 4
  }

  static let byteOrderMagic: UInt32 = 0x1A2B_3C4D

  /// `epb_flags`, bits 0 and 1: inbound is what the server has sent, outbound what the client has sent.
  static func flags(_ direction: MessageDirection) -> UInt32 { direction == .toClient ? 1 : 2 }

  /// A descriptor as a packet comment.
  static func comment(_ index: Int, _ note: DescriptorNote) -> String {
    "descriptor \(index): \(note)"
  }

  /// The descriptor in a packet comment; nil for any other comment.
  static func descriptor(in comment: String) -> DescriptorNote? {
    guard comment.hasPrefix("descriptor "),
      let colon = comment.ranges(of: ": ").first
    else { return nil }
    return DescriptorNote(text: String(comment[colon.upperBound...]))
  }

  /// The name of an interface.
  static func interfaceName(connection: Int, isTwin: Bool) -> String {
    "connection \(connection)\(isTwin ? " twin" : "")"
  }

  /// The socket of an interface name that we have written.
  static func socket(named name: String) -> (connection: Int, isTwin: Bool)? {
    let words = name.split(separator: " ")
    guard words.count >= 2, words[0] == "connection", let number = Int(words[1]) else { return nil }
    return (number, words.count > 2 && words[2] == "twin")
  }

  static func padded(_ count: Int) -> Int { (count + 3) & ~3 }
}
