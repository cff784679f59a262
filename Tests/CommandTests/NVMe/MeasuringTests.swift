import LinuxPrimitives
import Testing
import VFIOUserProgram

@testable import vfio_user

@Suite struct `A latency histogram` {
  @Test func `A latency histogram without values has quantiles and a mean of zero`() {
    let histogram = LatencyHistogram()
    #expect(histogram.quantile(0.5) == 0)
    #expect(histogram.mean == 0)
  }

  @Test func `A latency histogram is exact below 32 and within three per cent above`() {
    for value: UInt64 in [0, 1, 31, 32, 33, 1000, 123_456, 98_765_432_100, .max / 2, .max] {
      var histogram = LatencyHistogram()
      histogram.record(value)
      histogram.record(.max)
      let found = histogram.quantile(0.5)
      #expect(found >= value)
      #expect(Double(found - value) <= Double(value) * 0.032)
      if value < 32 { #expect(found == value) }
    }
  }

  @Test func `A latency histogram finds the quantiles of a thousand values`() {
    var histogram = LatencyHistogram()
    for value in 1...1000 as ClosedRange<UInt64> { histogram.record(value) }
    #expect(abs(Int(histogram.quantile(0.5)) - 500) <= 16)
    #expect(abs(Int(histogram.quantile(0.99)) - 990) <= 31)
    #expect(histogram.quantile(1) == 1000)
    #expect(histogram.mean == 500)
    #expect((histogram.least, histogram.most) == (1, 1000))
  }

  @Test func `A latency histogram can be merged with another one`() {
    var (one, other) = (LatencyHistogram(), LatencyHistogram())
    for value in 1...10 as ClosedRange<UInt64> { one.record(value) }
    for value in 11...20 as ClosedRange<UInt64> { other.record(value) }
    one.merge(other)
    #expect(one.count == 20)
    #expect(one.quantile(0.5) == 10)
    #expect((one.least, one.most) == (1, 20))
  }
}

@Suite struct `A CRC-32C checksum` {
  @Test func `A CRC-32C checksum matches the examples of RFC 3720`() {
    #expect(CRC32C.of([UInt8](repeating: 0, count: 32).span) == 0x8A91_36AA)
    #expect(CRC32C.of([UInt8](repeating: 0xFF, count: 32).span) == 0x62A8_AB43)
    #expect(CRC32C.of([UInt8](0..<32).span) == 0x46DD_794E)
    #expect(CRC32C.of(Array("123456789".utf8).span) == 0xE306_9283)
  }

  @Test func `A CRC-32C checksum does not depend on how the bytes are split`() {
    let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    for cut in [0, 1, 7, 8, 9, 500, 999, 1000] {
      var sum = CRC32C()
      sum.update(bytes.span.extracting(..<cut))
      sum.update(bytes.span.extracting(cut...))
      #expect(sum.value == CRC32C.of(bytes.span))
    }
  }
}

@Suite struct `A test pattern for blocks` {
  @Test func `A test pattern depends on block and seed only and ends in its CRC-32C checksum`() {
    func block(_ number: UInt64, _ seed: UInt64) -> [UInt8] {
      var data = [UInt8](repeating: 0, count: 512)
      Pattern.fill(&data, block: number, seed: seed)
      return data
    }
    #expect(block(1, 1) == block(1, 1))
    #expect(block(1, 1) != block(2, 1))
    #expect(block(1, 1) != block(1, 2))
    let data = block(3, 4)
    let sum = CRC32C.of(data.span.extracting(..<508))
    #expect(data[508...].reversed().reduce(0) { $0 << 8 | UInt32($1) } == sum)
  }
}

@Suite struct `A workload` {
  private func workload(reads: Int, random: Bool) -> Workload {
    Workload(
      blockSize: 4096, depth: 1, readShare: reads, isRandom: random, blocks: 10, seconds: 1, seed: 7
    )
  }

  @Test(arguments: [true, false], [10, 100_001, 8192, 3] as [UInt64])
  func `Shares of a workload have disjoint blocks within the disk`(random: Bool, blocks: UInt64) {
    let seen = (0..<2 as Range<UInt64>).map { number in
      var workload = Workload(
        blockSize: 4096, depth: 1, readShare: 100, isRandom: random, blocks: blocks, seconds: 1,
        seed: 7)
      workload.share = Workload.Share(number: number, of: 2)
      var steps = WorkloadSteps(workload)
      return Set((0..<20_000).map { _ in steps.step().block })
    }
    #expect(seen[0].isDisjoint(with: seen[1]))
    #expect(seen.allSatisfy { $0.allSatisfy { $0 < blocks } && !$0.isEmpty })
  }

  @Test func `A sequential workload visits all blocks in order and starts again`() {
    var steps = WorkloadSteps(workload(reads: 100, random: false))
    let blocks = (0..<25).map { _ in steps.step().block }
    #expect(blocks == (0..<25).map { $0 % 10 })
  }

  @Test func `A random workload stays within the disk and has the requested share of reads`() {
    var steps = WorkloadSteps(workload(reads: 70, random: true))
    let all = (0..<10_000).map { _ in steps.step() }
    #expect(all.allSatisfy { $0.block < 10 })
    #expect(Set(all.map(\.block)).count == 10)
    #expect(6700...7300 ~= all.count { $0.isRead })
  }
}

/// A disk that notes what it is told to do.
private final class NotingEngine: BlockEngine {
  let depth = 4
  private var under: [Int] = []
  private(set) var flushes = 0

  func start(_ slot: Int, isRead: Bool, at offset: UInt64, count: Int) { under.append(slot) }
  func kick() {}
  func wait(_ ended: (Int, String?) -> Void) { ended(under.removeFirst(), nil) }
  func flush() { flushes += 1 }
  func fill(_ slot: Int, _ bytes: Span<UInt8>) {}
  func read(_ slot: Int, into bytes: inout MutableRawSpan) {}
}

@Suite struct `A pattern pass over a disk` {
  @Test func `A pattern pass that is interrupted reports only what it has done`() throws {
    let engine = NotingEngine()
    var asked = 0
    var pass = PatternPass(engine, seed: 1, transfer: 4096, isShown: false) {
      asked += 1
      return asked > 6
    }
    let report = try pass.run(0..<100, writes: true)
    #expect((report.blocksWritten, report.isFlushed, report.blocksRead) == (5, false, 0))
    #expect(report.isInterrupted)
    #expect(engine.flushes == 0)
    #expect(report.checksum.isEmpty)
    #expect(report.text.contains("wrote 20 KiB of 400 KiB, not flushed"), "\(report.text)")
    #expect(report.text.hasSuffix("interrupted"), "\(report.text)")
  }

  @Test func `A pattern pass over a disk that loses every write reports every block as bad`() throws
  {
    var pass = PatternPass(NotingEngine(), seed: 1, transfer: 4096, isShown: false) { false }
    let report = try pass.run(0..<10, writes: true)
    #expect((report.badBlocks, report.blocksRead, report.firstBadOffset) == (10, 10, 0))
  }
}
