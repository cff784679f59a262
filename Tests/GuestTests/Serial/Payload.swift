import TestSupport

/// The bytes that tests send: random, the same on each run, different in each direction.
enum Payload {
  static let size = 64 << 10

  /// The guest has them in a file of this name.
  static let fromGuest = bytes(seed: 0x16550)
  static let toGuest = bytes(seed: 0xA)

  private static func bytes(seed: UInt64) -> [UInt8] {
    var generator = SplitMix64(seed: seed)
    return generator.bytes(size)
  }
}
