internal import SystemPackage

/// Memory that costs nothing where nobody has written.
struct PagedBytes: Sendable {
  private static let pageSize = 64 << 10

  private let count: UInt64
  /// Nil for zeros.
  private var pages: [[UInt8]?]

  /// Zeros.
  init(count: Int) {
    self.count = UInt64(count)
    pages = Array(repeating: nil, count: (count + Self.pageSize - 1) / Self.pageSize)
  }

  /// All zeros again.
  mutating func clear() {
    for page in pages.indices { pages[page] = nil }
  }

  /// Copies out; `bytes` is zero where nothing was written.
  ///
  /// - Throws: `EINVAL` when the range is not inside.
  func read(at offset: UInt64, into bytes: inout MutableRawSpan) throws(Errno) {
    let start = try place(offset, bytes.byteCount)
    var done = 0
    while done < bytes.byteCount {
      let (page, from, count) = Self.piece(at: start + done, rest: bytes.byteCount - done)
      if let content = pages[page] {
        unsafe bytes.withUnsafeMutableBytes { target in
          // Sound: `piece` stays inside of the page and of what is left of `bytes`.
          unsafe content.withUnsafeBytes { source in
            unsafe UnsafeMutableRawBufferPointer(rebasing: target[done..<done + count])
              .copyMemory(from: UnsafeRawBufferPointer(rebasing: source[from..<from + count]))
          }
        }
      }
      done += count
    }
  }

  /// Copies in.
  ///
  /// - Throws: `EINVAL` when the range is not inside.
  mutating func write(at offset: UInt64, from bytes: Span<UInt8>) throws(Errno) {
    let start = try place(offset, bytes.count)
    var done = 0
    while done < bytes.count {
      let (page, to, count) = Self.piece(at: start + done, rest: bytes.count - done)
      if pages[page] == nil { pages[page] = Array(repeating: 0, count: Self.pageSize) }
      unsafe bytes.extracting(done..<done + count).withUnsafeBytes { source in
        // Sound: `piece` stays inside of the page.
        unsafe pages[page]?.withUnsafeMutableBytes { target in
          unsafe UnsafeMutableRawBufferPointer(rebasing: target[to..<to + count])
            .copyMemory(from: source)
        }
      }
      done += count
    }
  }

  private func place(_ offset: UInt64, _ count: Int) throws(Errno) -> Int {
    guard offset <= self.count, UInt64(count) <= self.count - offset else {
      throw .invalidArgument
    }
    return Int(offset)
  }

  /// What lies in one page, of so many bytes.
  private static func piece(at place: Int, rest: Int) -> (page: Int, from: Int, count: Int) {
    let from = place % pageSize
    return (place / pageSize, from, min(rest, pageSize - from))
  }
}
