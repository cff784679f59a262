/// The MSI-X table as the guest sees it: 16 bytes for each vector (PCI 3.0, section 6.8.2).
///
/// QEMU keeps the guest's table itself and never writes to this one. So its masks, which are all set after a
/// reset, have no effect until the table was written to.
struct VectorTable {
  /// Size of an entry in bytes.
  static let stride = 16
  /// Offset in an entry of the dword with the mask bit.
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

  /// The masks have no effect again, because a new client has not written to the table.
  mutating func forgetClient() { isWritten = false }

  /// Copies bytes out.
  ///
  /// - Precondition: the range lies in the table.
  func read(at offset: Int, into data: inout MutableRawSpan) {
    for place in 0..<data.byteCount {
      data.storeBytes(of: bytes[offset + place], toByteOffset: place, as: UInt8.self)
    }
  }

  /// Copies bytes in; reserved bits stay zero.
  ///
  /// - Precondition: the range lies in the table.
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
