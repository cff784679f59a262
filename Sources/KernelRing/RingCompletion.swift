public import SystemPackage

/// What became of an operation.
public struct RingCompletion: Equatable, Sendable {
  /// The number that the operation was queued with, whether it failed or not.
  public let id: UInt64
  /// Bytes, zero, or a negative error number.
  public let result: Int32

  init(id: UInt64, result: Int32) {
    self.id = id
    self.result = result
  }

  /// Why it failed, nil when it did not.
  public var failure: Errno? { result < 0 ? Errno(rawValue: 0 &- result) : nil }

  /// How many bytes went; fewer than asked for at the end of a file.
  public var byteCount: Int { Int(max(result, 0)) }
}
