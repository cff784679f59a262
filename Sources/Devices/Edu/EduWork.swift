/// A requested factorial.
struct EduFactorial: Equatable, Sendable {
  let number: UInt32

  /// The lower 32 bits of the factorial.
  ///
  /// From 34 on it is a multiple of 2^32, so the loop ends there, whatever number the guest writes.
  var result: UInt32 {
    guard number < 34 else { return 0 }
    var product: UInt32 = 1
    for factor in stride(from: 2, through: number, by: 1) { product &*= factor }
    return product
  }
}

/// The command register of transfers; other bits are stored and have no effect.
struct EduCommand: OptionSet, Codable, Sendable {
  let rawValue: UInt64

  /// Starts the transfer; reads as one until it has ended.
  static let run = EduCommand(rawValue: 0x1)
  /// The direction is from the device to memory.
  static let toMemory = EduCommand(rawValue: 0x2)
  /// Raises an interrupt at the end.
  static let interrupt = EduCommand(rawValue: 0x4)
}

/// A requested transfer, with the register values of that time.
struct EduTransfer: Equatable, Sendable {
  static let bufferAddress: UInt64 = 0x40000
  static let bufferSize = 4096

  let source: UInt64
  let destination: UInt64
  let count: UInt64
  let command: EduCommand

  /// The guest address, before the mask is applied.
  var address: UInt64 { command.contains(.toMemory) ? destination : source }

  /// The range in the device's buffer, nil if it does not lie in the buffer.
  var bufferRange: Range<Int>? {
    let place = command.contains(.toMemory) ? source : destination
    let (start, below) = place.subtractingReportingOverflow(Self.bufferAddress)
    let size = UInt64(Self.bufferSize)
    guard !below, start <= size, count <= size - start else { return nil }
    return Int(start)..<Int(start + count)
  }
}
