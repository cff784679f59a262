import CFloor
import Foundation

struct Failure: Error, CustomStringConvertible {
  let description: String
}

/// Two connected sockets.
func pair() throws -> (Int32, Int32) {
  var ends: [Int32] = [-1, -1]
  guard floor_pair(&ends) == 0 else { throw Failure(description: "no socket pair") }
  return (ends[0], ends[1])
}

extension ParsableBenchmark {
  /// Runs on the benchmark's processor, with threads that are started meanwhile.
  func pinned<Result>(_ body: () throws -> Result) rethrows -> Result {
    if cpu >= 0, floor_pin(cpu) != 0 { print("(not pinned, or no SCHED_FIFO: run as root)") }
    return try body()
  }
}

/// A benchmark that may be tied to a processor.
protocol ParsableBenchmark {
  var cpu: Int32 { get }
}

extension ClientBenchmark: ParsableBenchmark {}
extension ServerBenchmark: ParsableBenchmark {}

func median(_ values: [UInt64]) -> Double { Double(values.sorted()[values.count / 2]) }
func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }

func fixed(_ value: Double, _ digits: Int) -> String { String(format: "%8.\(digits)f", value) }

func pad(_ text: String, _ width: Int) -> String {
  text + String(repeating: " ", count: max(0, width - text.count))
}
