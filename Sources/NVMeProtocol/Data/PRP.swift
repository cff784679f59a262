/// Arithmetic for physical region pages (NVMe 1.4, section 4.3) of one page size.
public struct PRPGeometry: Equatable, Sendable {
  /// Page size in bytes; a power of two, at least 4096 in NVMe.
  public let pageSize: UInt64

  /// Creates the arithmetic for pages of `pageSize` bytes.
  ///
  /// - Precondition: `pageSize` is a power of two, at least 16.
  public init(pageSize: UInt64) {
    precondition(pageSize & (pageSize - 1) == 0 && pageSize >= 16, "not a page size: \(pageSize)")
    self.pageSize = pageSize
  }

  /// Offset of an address in its page.
  @inlinable
  public func offset(of address: UInt64) -> UInt64 { address & (pageSize - 1) }

  /// Number of 8-byte PRP entries from `address` to the end of its page.
  @inlinable
  public func entries(from address: UInt64) -> Int {
    Int(truncatingIfNeeded: (pageSize - offset(of: address)) / 8)
  }

  /// Number of pages touched by `count` bytes from `address` on.
  public func pages(from address: UInt64, count: Int) -> Int {
    guard count > 0 else { return 0 }
    let first = min(UInt64(count), pageSize - offset(of: address))
    let rest = UInt64(count) - first
    return 1 + Int(clamping: (rest + pageSize - 1) / pageSize)
  }
}
