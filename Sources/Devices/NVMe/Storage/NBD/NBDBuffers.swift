internal import SystemPackage

/// Memory of ours for data that does not go straight between a socket and the guest.
struct NBDBuffers {
  /// Bytes that are kept for later.
  private static let mostKept = 32 << 20
  private static let smallest = 4096

  /// By size: 4096 bytes, twice as many, and so on.
  private var kept: [[PageBuffer]] = []
  private var bytes = 0

  /// A buffer of at least so many bytes.
  mutating func take(_ count: Int) throws(Errno) -> PageBuffer {
    let kind = Self.kind(count)
    if kind < kept.count, let buffer = kept[kind].popLast() {
      bytes -= buffer.size
      return buffer
    }
    return try PageBuffer(size: Self.smallest << kind)
  }

  /// It is not needed any more.
  mutating func give(_ buffer: PageBuffer) {
    let kind = Self.kind(buffer.size)
    guard bytes + buffer.size <= Self.mostKept, buffer.size == Self.smallest << kind else { return }
    while kept.count <= kind { kept.append([]) }
    kept[kind].append(buffer)
    bytes += buffer.size
  }

  private static func kind(_ count: Int) -> Int {
    var kind = 0
    while smallest << kind < count { kind += 1 }
    return kind
  }
}
