/// Which pages of a window were written, asked for with its removal (`struct vfio_user_bitmap`).
///
/// With ``DMAUnmapFlags/getDirtyBitmap`` it follows the ``DMAUnmap``; in the reply the bitmap follows it.
public struct DirtyBitmap: FixedSizeMessage, WireMessage {
  /// Size of the fixed part on the wire in bytes.
  public static let wireSize = 16

  /// Number of bytes that one bit stands for, a power of two.
  public var pageSize: UInt64
  /// Size of the bitmap in bytes, in whole 64-bit words.
  public var size: UInt64

  /// Creates the fixed part.
  public init(pageSize: UInt64, size: UInt64) {
    self.pageSize = pageSize
    self.size = size
  }

  /// Decodes the fixed part and ignores the bytes after it.
  public init(decoding bytes: Span<UInt8>) throws(WireError) {
    try bytes.require(Self.wireSize)
    pageSize = bytes.littleEndian(at: 0)
    size = bytes.littleEndian(at: 8)
    guard pageSize.nonzeroBitCount == 1 else {
      throw .notAPowerOfTwo(field: "pgsize", value: pageSize)
    }
  }

  /// Writes the fixed part at the start of `bytes`.
  @_lifetime(bytes: copy bytes)
  public func encode(into bytes: inout MutableRawSpan) {
    bytes.storeLittleEndian(pageSize, at: 0)
    bytes.storeLittleEndian(size, at: 8)
  }
}
