import SystemPackage
import Testing
import VFIOUserProtocol

@testable import VFIOUserServer

/// The bits that a log reports, as numbers.
private func bits(_ log: DirtyLog, _ address: UInt64, _ length: UInt64, size: UInt64) throws -> Set<
  UInt64
> {
  let report = DMALoggingReport(address: address, length: length, pageSize: size)
  var bitmap = [UInt8](repeating: 0, count: try report.bitmapSize(limit: 1 << 24))
  var span = bitmap.mutableSpan
  var raw = unsafe span.mutableBytes
  log.report(address, length, size: size, into: &raw)
  return Set(
    (0..<UInt64(8 * bitmap.count)).filter { bitmap[Int($0 / 8)] >> UInt8($0 % 8) & 1 != 0 })
}

@Suite struct `A log of dirty pages` {
  @Test(arguments: [256, 257])
  func `A log takes as many ranges as the kernel does, because each write looks at all`(count: Int)
    throws
  {
    let range = DMALoggingRange(address: 0, length: 1)
    let request = DMALoggingControl(
      pageSize: 4096, ranges: Array(repeating: range, count: count))
    if count > 256 {
      #expect(throws: Errno.argListTooLong) { try DirtyLog(request) }
    } else {
      _ = try DirtyLog(request)
    }
  }

  @Test(
    arguments: [
      (1, 4096), (2048, 4096), (4096, 4096), (8192, 8192), (1 << 21, 1 << 21), (1 << 30, 1 << 30),
      (1 << 40, 1 << 30),
    ] as [(UInt64, UInt64)])
  func `A log chooses a page size that it can keep`(wanted: UInt64, chosen: UInt64) throws {
    #expect(try DirtyLog(DMALoggingControl(pageSize: wanted)).pageSize == chosen)
  }

  @Test
  func `A log refuses a page size that is no power of two, and a range that is empty or wraps`() {
    for size in [0, 3, 4095, 4097, 12288] as [UInt64] {
      #expect(throws: Errno.invalidArgument) { try DirtyLog(DMALoggingControl(pageSize: size)) }
    }
    for (address, length) in [(0x1000, 0), (.max, 2)] as [(UInt64, UInt64)] {
      #expect(throws: Errno.invalidArgument) {
        try DirtyLog(
          DMALoggingControl(
            pageSize: 4096, ranges: [DMALoggingRange(address: address, length: length)]))
      }
    }
    #expect(throws: Never.self) {
      try DirtyLog(
        DMALoggingControl(pageSize: 4096, ranges: [DMALoggingRange(address: .max, length: 1)]))
    }
  }

  @Test func `A log reports a page once, at the first and at the last byte of the address space`()
    throws
  {
    let log = try DirtyLog(DMALoggingControl(pageSize: 4096))
    log.note(0, 1)
    log.note(.max, 1)
    #expect(try bits(log, 0, 4096, size: 4096) == [0])
    #expect(try bits(log, 0, 4096, size: 4096) == [])
    #expect(try bits(log, .max - 4095, 4096, size: 4096) == [0])
  }

  @Test func `A page that a report covers in part is reported again`() throws {
    let log = try DirtyLog(DMALoggingControl(pageSize: 8192))
    log.note(0x2000, 1)
    #expect(try bits(log, 0x3000, 0x1000, size: 4096) == [0])
    #expect(try bits(log, 0x2000, 0x2000, size: 4096) == [0, 1])
    #expect(try bits(log, 0x2000, 0x2000, size: 4096) == [])
  }

  @Test func `A log keeps what touches its ranges, and nothing else`() throws {
    let ranges = [
      DMALoggingRange(address: 0x1000, length: 0x1000),
      DMALoggingRange(address: 0x8000, length: 0x1000),
    ]
    let log = try DirtyLog(DMALoggingControl(pageSize: 4096, ranges: ranges))
    log.note(0x0FFF, 1)
    log.note(0x2000, 0x6000)
    log.note(0x9000, 1)
    #expect(try bits(log, 0, 0x10000, size: 4096) == [])
    log.note(0x0FFF, 2)
    log.note(0x8FFF, 1)
    #expect(try bits(log, 0x1000, 0x8000, size: 4096) == [0, 7])
  }

  @Test
  func `A report of as many pages as there are ends at once, and too many chunks mark everything`()
    throws
  {
    let log = try DirtyLog(DMALoggingControl(pageSize: 4096))
    log.note(1 << 40, 1)
    #expect(try bits(log, 0, 1 << 63, size: 1 << 40) == [1])
    for chunk in 0..<16_384 as Range<UInt64> { log.note(chunk << 27, 1) }
    #expect(try bits(log, 1 << 60, 1 << 14, size: 4096) == [])
    log.note(1 << 62, 1)
    #expect(try bits(log, 1 << 60, 1 << 14, size: 4096) == [0, 1, 2, 3])
  }

  /// Against a set of pages, with any sizes and ranges.
  @Test(arguments: 0..<40 as Range<UInt64>)
  func `A log reports exactly what was written, whatever the page sizes`(seed: UInt64) throws {
    var numbers = Numbers(state: seed &* 0x9E37_79B9_7F4A_7C15 | 1)
    let kept: UInt64 = 4096 << numbers.next(below: 6)
    let log = try DirtyLog(DMALoggingControl(pageSize: kept))
    var shadow: Set<UInt64> = []
    for _ in 0..<60 {
      for _ in 0..<numbers.next(below: 6) {
        let address = numbers.next(below: 1 << 28)
        let count = 1 + numbers.next(below: 100_000)
        log.note(address, count)
        for page in address / kept...(address + count - 1) / kept { shadow.insert(page) }
      }
      let size: UInt64 = 512 << numbers.next(below: 10)
      let address = numbers.next(below: 1 << 28) / size * size
      let length = 1 + numbers.next(below: 1 << 22)
      var expected: Set<UInt64> = []
      for page in shadow {
        let start = max(page * kept, address)
        let end = min((page + 1) * kept, address + length)
        guard start < end else { continue }
        for bit in (start - address) / size...(end - 1 - address) / size { expected.insert(bit) }
        if end - start == kept { shadow.remove(page) }
      }
      #expect(try bits(log, address, length, size: size) == expected)
    }
  }

  private struct Numbers {
    var state: UInt64
    mutating func next(below bound: UInt64) -> UInt64 {
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      return state % bound
    }
  }
}
