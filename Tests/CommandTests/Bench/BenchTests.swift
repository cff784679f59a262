import LinuxPrimitives
import ArgumentParser
import Foundation
import TestSupport
import Testing

@testable import vfio_user

@Suite(.timeLimit(.minutes(1))) struct `The bench command` {
  /// What is needed of the JSON.
  private struct Report: Decodable {
    struct Side: Decodable {
      let operations: UInt64
    }
    struct Row: Decodable {
      let name: String
      let devices: [Side?]
      let floor: Side?
      let skipped: String?
      let ratio: Double?
    }
    let rows: [Row]
  }

  @Test func `Every row of scratch is measured, beside the floor`() throws {
    let run = try ServedProcess(["scratch"]).run("bench", "--seconds", "0.02", "--json")
    #expect(run.exitCode == 0, "\(run.errors)")
    let report: Report = try run.decoded()
    #expect(report.rows.count == 16)
    for row in report.rows {
      #expect(row.skipped == nil, "\(row.name)")
      #expect(
        (row.devices[0]?.operations ?? 0) > 0 && (row.floor?.operations ?? 0) > 0, "\(row.name)")
    }
  }

  @Test func `What a device does not have is left out with the reason`() throws {
    let served = try ServedProcess(["edu"])
    let before = try served.run("info", "--hex").output
    let run = try served.run("bench", "--seconds", "0.02")
    #expect(run.exitCode == 0, "\(run.errors)")
    #expect(run.text.contains("read 64 KiB, read 256 KiB, read 1 MiB, write 64 KiB"))
    #expect(run.text.contains("DMA_READ 4 KiB by message"))
    #expect(run.text.contains("read 4 bytes, latency from:"))
    #expect(try served.run("info", "--hex").output == before)
  }

  @Test func `Two devices are compared row by row`() throws {
    let (one, other) = (try ServedProcess(["scratch"]), try ServedProcess(["edu"]))
    let run = try one.run(
      "bench", "--compare", other.socket, "--seconds", "0.02", "--only", "4 bytes", "--only",
      "64 KiB", "--json")
    let report: Report = try run.decoded()
    let small = try #require(report.rows.first { $0.name == "read 4 bytes" })
    #expect(small.devices.count == 2 && small.ratio != nil)
    let large = try #require(report.rows.first { $0.name == "read 64 KiB" })
    #expect(large.devices[0] != nil && large.devices[1] == nil && large.ratio == nil)
  }

  @Test func `Writes at a place of the user need a permission, and change nothing`() throws {
    let served = try ServedProcess(["scratch"])
    _ = try served.run("write", "bar2", "0", "0x12345678")
    let without = try served.run(
      "bench", "--region", "bar2", "--only", "write 4 b", "--seconds", "0.02")
    #expect(without.exitCode == 1 && without.text.contains("--allow-writes"))
    let with = try served.run(
      "bench", "--region", "bar2", "--allow-writes", "--only", "write", "--seconds", "0.02")
    #expect(with.exitCode == 0, "\(with.errors)")
    #expect(try served.run("read", "bar2", "0").text == "0x12345678\n")
  }

  @Test func `A row that does not exist is refused with the names of those that do`() throws {
    let run = try ServedProcess(["edu"]).run("bench", "--only", "nothing")
    #expect(
      run.exitCode == 1 && run.errors.contains("The rows are: read 4 bytes;"), "\(run.errors)")
  }
}

@Suite struct `The raw floor` {
  @Test(arguments: ["", "1", "0:1", "-1:1", "1:-1", "a:b", "1:2:3"])
  func `What is no exchange is refused`(text: String) {
    #expect(throws: ValidationError.self) { try FloorExchange(text: text) }
  }

  @Test func `An exchange is the same after it was text`() throws {
    #expect(try FloorExchange(text: FloorExchange(36, 0).text) == FloorExchange(36, 0))
  }
}

@Suite struct `A histogram as text` {
  @Test func `The bars hold every value`() {
    var histogram = LatencyHistogram()
    for value in 1...10_000 as ClosedRange<UInt64> { histogram.record(value * 10) }
    let bars = histogram.bars()
    #expect(bars.count == 12)
    let numbers = bars.compactMap { line in
      line.split(separator: " ").last.flatMap { Int($0.replacing(",", with: "")) }
    }
    #expect(numbers.reduce(0, +) == 10_000)
    #expect(Set(bars.map(\.count)).count == 1)
  }

  @Test(arguments: [1, 2, 1000]) func `Values that are all the same have bars`(count: Int) {
    var histogram = LatencyHistogram()
    for _ in 0..<count { histogram.record(5000) }
    #expect(histogram.bars().contains { $0.contains("#") })
  }

  @Test func `No values are no bars, and zero and the greatest are no trap`() {
    #expect(LatencyHistogram().bars().isEmpty)
    var histogram = LatencyHistogram()
    histogram.record(0)
    histogram.record(.max)
    #expect(histogram.bars().count == 12)
  }
}
