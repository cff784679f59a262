internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

/// Which pages of the client's memory the device has written (specification, "VFIO_DEVICE_FEATURE_DMA_LOGGING_START").
///
/// What is written by messages is not in it: the client carries these writes out itself, and knows of them. Any
/// thread writes; the session's thread starts, reports and stops.
final class DirtyLog: Sendable {
  fileprivate struct State {
    /// Logarithm of the page size.
    var shift: UInt64 = 12
    /// What is logged; everything when it is empty.
    var ranges: [DMALoggingRange] = []
    /// Bits of pages, by the number of the chunk that they are in.
    var chunks: [UInt64: [UInt64]] = [:]
    /// Whether there were too many chunks: then every page counts as written until the next start.
    var isFull = false
  }

  /// Pages in a chunk, as a logarithm.
  fileprivate static let chunkShift: UInt64 = 15
  fileprivate static let chunkMask: UInt64 = 1 << chunkShift - 1
  /// Most chunks, of 4 KiB each: a guest chooses where a device writes.
  fileprivate static let maxChunks = 16_384
  /// Most ranges, as of Linux: each write is compared with all of them.
  static let maxRanges = 256
  /// Page sizes that are kept, as logarithms.
  private static let shifts: ClosedRange<UInt64> = 12...30

  private let state = Monitor(State())

  /// Makes a log for a request.
  ///
  /// - Throws: `EINVAL` for a page size that is no power of two, or a range that is empty or wraps; `E2BIG` for more
  ///   than ``maxRanges``.
  init(_ request: DMALoggingControl) throws(Errno) {
    guard request.pageSize.nonzeroBitCount == 1 else { throw .invalidArgument }
    guard request.ranges.count <= Self.maxRanges else { throw .argListTooLong }
    for range in request.ranges {
      guard range.length > 0, !range.address.addingReportingOverflow(range.length - 1).overflow
      else {
        throw .invalidArgument
      }
    }
    let wanted = UInt64(request.pageSize.trailingZeroBitCount)
    state.withLock { state in
      state.shift = min(max(wanted, Self.shifts.lowerBound), Self.shifts.upperBound)
      state.ranges = request.ranges
    }
  }

  /// Bytes of a page of the log.
  var pageSize: UInt64 { state.withLock { 1 << $0.shift } }

  /// Notes a write.
  ///
  /// - Precondition: `address + count` does not pass 2^64.
  func note(_ address: UInt64, _ count: UInt64) {
    guard count > 0 else { return }
    let last = address + (count - 1)
    state.withLock { state in
      guard state.ranges.isEmpty || state.ranges.contains(where: { $0.overlaps(address, last) })
      else {
        return
      }
      for page in address >> state.shift...last >> state.shift { state.mark(page) }
    }
  }

  /// Puts the bits of a range into a bitmap, and forgets those that it has shown in whole.
  ///
  /// - Parameters:
  ///   - size: what one bit stands for, a power of two.
  ///   - bitmap: large enough for the range, and zero.
  func report(_ address: UInt64, _ length: UInt64, size: UInt64, into bitmap: inout MutableRawSpan)
  {
    guard length > 0 else { return }
    let range = address...address + (length - 1)
    state.withLock { state in
      if state.isFull { return Self.set(0...(length - 1) / size, in: &bitmap) }
      let pages = range.lowerBound >> state.shift...range.upperBound >> state.shift
      // Only what was written is looked at: a range may be as large as its sender likes.
      for chunk in state.chunks(of: pages) {
        for page in state.marked(in: pages, chunk) {
          let first = page << state.shift
          let whole = first...first + (1 << state.shift - 1)
          let part = whole.clamped(to: range)
          Self.set(
            (part.lowerBound - address) / size...(part.upperBound - address) / size, in: &bitmap)
          // A page that lies in the range in part belongs to the next report as well.
          if part == whole { state.clear(page) }
        }
      }
    }
  }

  private static func set(_ bits: ClosedRange<UInt64>, in bitmap: inout MutableRawSpan) {
    for bit in bits {
      let place = Int(bit / 8)
      // Sound: any byte is a UInt8, and the place is compared with the bounds.
      let byte = unsafe bitmap.unsafeLoad(fromByteOffset: place, as: UInt8.self)
      bitmap.storeLittleEndian(byte | 1 << UInt8(bit % 8), at: place)
    }
  }
}

extension DirtyLog.State {
  fileprivate mutating func mark(_ page: UInt64) {
    let chunk = page >> DirtyLog.chunkShift
    let place = Int(page & DirtyLog.chunkMask)
    if chunks[chunk] == nil {
      guard chunks.count < DirtyLog.maxChunks else {
        isFull = true
        return
      }
      chunks[chunk] = Array(repeating: 0, count: 1 << Int(DirtyLog.chunkShift - 6))
    }
    chunks[chunk]?[place / 64] |= 1 << UInt64(place % 64)
  }

  fileprivate mutating func clear(_ page: UInt64) {
    let place = Int(page & DirtyLog.chunkMask)
    chunks[page >> DirtyLog.chunkShift]?[place / 64] &= ~(1 << UInt64(place % 64))
  }

  /// The chunks that have pages of a range.
  fileprivate func chunks(of pages: ClosedRange<UInt64>) -> [UInt64] {
    let shift = DirtyLog.chunkShift
    let wanted = pages.lowerBound >> shift...pages.upperBound >> shift
    return chunks.keys.filter { wanted ~= $0 }
  }

  /// The pages of a range in a chunk that were written.
  fileprivate func marked(in pages: ClosedRange<UInt64>, _ chunk: UInt64) -> [UInt64] {
    var marked: [UInt64] = []
    for (place, word) in (chunks[chunk] ?? []).enumerated() where word != 0 {
      for bit in 0..<64 where word >> UInt64(bit) & 1 != 0 {
        let page = chunk << DirtyLog.chunkShift + UInt64(64 * place + bit)
        if pages ~= page { marked.append(page) }
      }
    }
    return marked
  }
}

extension DMALoggingRange {
  /// - Precondition: the range is not empty and does not wrap.
  fileprivate func overlaps(_ first: UInt64, _ last: UInt64) -> Bool {
    address <= last && first <= address + (length - 1)
  }
}
