package import SystemPackage

/// The completion of an operation.
package struct RingCompletion: Equatable, Sendable {
  /// The id that the operation was queued with.
  package let id: UInt64
  /// Number of bytes, zero, or a negated errno.
  package let result: Int32

  init(id: UInt64, result: Int32) {
    self.id = id
    self.result = result
  }

  /// The error, nil on success.
  package var failure: Errno? { result < 0 ? Errno(rawValue: 0 &- result) : nil }

  /// Number of bytes transferred; fewer than requested at the end of a file.
  package var byteCount: Int { Int(max(result, 0)) }
}
