extension MutableRawSpan {
  /// Copies bytes to the start of the span.
  mutating func copy(_ bytes: Span<UInt8>) {
    unsafe bytes.withUnsafeBytes { source in
      unsafe withUnsafeMutableBytes { unsafe $0.copyMemory(from: source) }
    }
  }
}

extension Span<UInt8> {
  /// The bytes as an array.
  func copied() -> [UInt8] {
    unsafe withUnsafeBytes { unsafe Array($0) }
  }
}
