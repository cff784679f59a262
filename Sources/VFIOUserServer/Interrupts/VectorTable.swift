/// The MSI-X table as the guest sees it: 16 bytes for each vector (PCI 3.0, section 6.8.2).
///
/// QEMU keeps the guest's table to itself and never writes this one, so its masks, all set after a
/// reset, count only once somebody has written to it.
struct VectorTable {
  /// Bytes of one entry.
  static let stride = 16
  /// Where in an entry the word with the mask bit is.
  private static let control = 12

  private(set) var bytes: [UInt8]
  private(set) var isWritten = false

  init(vectors: Int) {
    bytes = Array(repeating: 0, count: vectors * Self.stride)
    reset()
  }

  /// All vectors masked, as after power-on.
  mutating func reset() {
    for place in bytes.indices { bytes[place] = place % Self.stride == Self.control ? 1 : 0 }
    isWritten = false
  }

  /// A new client has written nothing yet.
  mutating func forgetClient() { isWritten = false }

  /// Copies bytes out.
  ///
  /// - Precondition: the range is inside of the table.
  func read(at offset: Int, into data: inout MutableRawSpan) {
    for place in 0..<data.byteCount {
      data.storeBytes(of: bytes[offset + place], toByteOffset: place, as: UInt8.self)
    }
  }

  /// Takes bytes in; bits that are reserved stay zero.
  ///
  /// - Precondition: the range is inside of the table.
  mutating func write(at offset: Int, from data: Span<UInt8>) {
    for place in data.indices {
      bytes[offset + place] = data[place] & Self.writable((offset + place) % Self.stride)
    }
    isWritten = isWritten || !data.isEmpty
  }

  /// Whether bytes can be those of a table: reserved bits are zero.
  static func canHold(_ bytes: [UInt8]) -> Bool {
    bytes.indices.allSatisfy { bytes[$0] & ~writable($0 % stride) == 0 }
  }

  /// Takes over the content of another table of this size.
  mutating func load(_ bytes: [UInt8], isWritten: Bool) {
    self.bytes = bytes
    self.isWritten = isWritten
  }

  /// Whether the table masks a vector.
  func isMasked(_ vector: Int) -> Bool {
    isWritten && bytes[vector * Self.stride + Self.control] & 1 != 0
  }

  private static func writable(_ place: Int) -> UInt8 {
    switch place {
    case 0: 0xFC
    case ..<control: 0xFF
    case control: 1
    default: 0
    }
  }
}
