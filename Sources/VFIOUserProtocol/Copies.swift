extension WireEncodable {
  /// The bytes.
  package func encoded() -> [UInt8] {
    unsafe [UInt8](unsafeUninitializedCapacity: wireSize) { buffer, count in
      // Sound: the buffer has room for exactly what `encode` writes; zeros first, for what it skips.
      let bytes = unsafe UnsafeMutableRawBufferPointer(start: buffer.baseAddress, count: wireSize)
      unsafe bytes.initializeMemory(as: UInt8.self, repeating: 0)
      var span = unsafe MutableRawSpan(_unsafeBytes: bytes)
      encode(into: &span)
      count = wireSize
    }
  }
}

extension Span<UInt8> {
  /// The bytes as an array.
  package func copied() -> [UInt8] {
    unsafe withUnsafeBytes { unsafe Array($0) }
  }
}
