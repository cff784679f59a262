internal import SystemPackage

/// Memory whose pages are allocated when they are first written.
struct PagedBytes: Codable, Sendable {
  private static let pageSize = 64 << 10

  private let count: UInt64
  /// The pages; nil for one that is all zeros.
  private var pages: [[UInt8]?]

  /// Zeros.
  init(count: Int) {
    self.count = UInt64(count)
    pages = Array(repeating: nil, count: (count + Self.pageSize - 1) / Self.pageSize)
  }

  /// Whether bytes that come from elsewhere are as many, in pages like these.
  func canBecome(_ other: PagedBytes) -> Bool {
    other.count == count && other.pages.count == pages.count
      && other.pages.allSatisfy { $0 == nil || $0?.count == Self.pageSize }
  }

  /// Sets everything to zero.
  mutating func clear() {
    for page in pages.indices { pages[page] = nil }
  }

  /// Copies bytes out; bytes that were never written are zero.
  ///
  /// - Throws: `EINVAL` if the range does not lie in the memory.
  func read(at offset: UInt64, into bytes: inout MutableRawSpan) throws(Errno) {
    let start = try place(offset, bytes.byteCount)
    var done = 0
    while done < bytes.byteCount {
      let (page, from, count) = Self.piece(at: start + done, rest: bytes.byteCount - done)
      if let content = pages[page] {
        unsafe bytes.withUnsafeMutableBytes { target in
          // Sound: `piece` lies in the page and in the rest of `bytes`.
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
  /// - Throws: `EINVAL` if the range does not lie in the memory.
  mutating func write(at offset: UInt64, from bytes: Span<UInt8>) throws(Errno) {
    let start = try place(offset, bytes.count)
    var done = 0
    while done < bytes.count {
      let (page, to, count) = Self.piece(at: start + done, rest: bytes.count - done)
      if pages[page] == nil { pages[page] = Array(repeating: 0, count: Self.pageSize) }
      unsafe bytes.extracting(done..<done + count).withUnsafeBytes { source in
        // Sound: `piece` lies in the page.
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

  /// The part of a range that lies in one page.
  private static func piece(at place: Int, rest: Int) -> (page: Int, from: Int, count: Int) {
    let from = place % pageSize
    return (place / pageSize, from, min(rest, pageSize - from))
  }
}
