/// The geometry of physical region pages (NVMe 1.4, section 4.3), for one page size.
public struct PRPGeometry: Equatable, Sendable {
  /// Bytes of a page; a power of two, at least 4096.
  public let pageSize: UInt64

  /// Geometry for pages of `pageSize` bytes.
  ///
  /// - Precondition: a power of two.
  public init(pageSize: UInt64) {
    precondition(pageSize & (pageSize - 1) == 0 && pageSize >= 16, "not a page size: \(pageSize)")
    self.pageSize = pageSize
  }

  /// Where in its page an address is.
  @inlinable
  public func offset(of address: UInt64) -> UInt64 { address & (pageSize - 1) }

  /// Entries of 8 bytes from `address` to the end of its page.
  @inlinable
  public func entries(from address: UInt64) -> Int {
    Int(truncatingIfNeeded: (pageSize - offset(of: address)) / 8)
  }

  /// Pages that `count` bytes from `address` on touch.
  public func pages(from address: UInt64, count: Int) -> Int {
    guard count > 0 else { return 0 }
    let first = min(UInt64(count), pageSize - offset(of: address))
    let rest = UInt64(count) - first
    return 1 + Int(clamping: (rest + pageSize - 1) / pageSize)
  }
}
