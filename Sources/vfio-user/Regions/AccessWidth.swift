import ArgumentParser
import VFIOUserClient
import VFIOUserProgram

/// How many bytes one access has.
enum AccessWidth: Int, CaseIterable {
  case one = 1
  case two = 2
  case four = 4
  case eight = 8

  init(text: String) throws {
    guard let number = Int(text), let width = AccessWidth(rawValue: number) else {
      throw ValidationError("--width takes 1, 2, 4 or 8 bytes, not '\(text)'.")
    }
    self = width
  }

  /// The largest number.
  var greatest: UInt64 { .max >> UInt64(64 - 8 * rawValue) }

  /// A number with 0x and all digits.
  func text(_ number: UInt64, decimal: Bool = false) -> String {
    decimal ? "\(number)" : "0x\(hex(number, 2 * rawValue))"
  }

  /// The little-endian bytes of a number.
  func bytes(of number: UInt64) -> [UInt8] {
    (0..<rawValue).map { UInt8(truncatingIfNeeded: number >> UInt64(8 * $0)) }
  }

  /// The numbers in some bytes.
  func numbers(in bytes: [UInt8]) -> [UInt64] {
    stride(from: 0, to: bytes.count - rawValue + 1, by: rawValue).map { place in
      bytes[place..<place + rawValue].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
  }
}

extension Client {
  /// Reads with one access of exactly this width.
  func load(
    _ width: AccessWidth, _ region: RegionIndex, at offset: UInt64
  ) throws(ClientError) -> UInt64 {
    switch width {
    case .one: UInt64(try load(region, at: offset, as: UInt8.self))
    case .two: UInt64(try load(region, at: offset, as: UInt16.self))
    case .four: UInt64(try load(region, at: offset, as: UInt32.self))
    case .eight: try load(region, at: offset, as: UInt64.self)
    }
  }

  /// Writes with one access of exactly this width.
  ///
  /// - Parameter posts: whether the device is told to send no reply (No_reply).
  func store(
    _ width: AccessWidth, _ number: UInt64, _ region: RegionIndex, at offset: UInt64,
    posts: Bool = false
  ) throws(ClientError) {
    switch width {
    case .one: try store(UInt8(truncatingIfNeeded: number), region, offset, posts)
    case .two: try store(UInt16(truncatingIfNeeded: number), region, offset, posts)
    case .four: try store(UInt32(truncatingIfNeeded: number), region, offset, posts)
    case .eight: try store(number, region, offset, posts)
    }
  }

  private func store<Bits: FixedWidthInteger & BitwiseCopyable>(
    _ number: Bits, _ region: RegionIndex, _ offset: UInt64, _ posts: Bool
  ) throws(ClientError) {
    if posts {
      try post(number, region, at: offset)
    } else {
      try store(number, region, at: offset)
    }
  }
}
