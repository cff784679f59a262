import Foundation
import SystemPackage

/// Prints a line at once, also into a pipe; a reader that has gone is nobody's problem.
///
/// - Throws: ``CommandError`` when it cannot be printed: what nobody got must not look like a success.
func say(_ line: some CustomStringConvertible = "") throws {
  do {
    try FileDescriptor.standardOutput.writeAll(Array("\(line)\n".utf8))
  } catch let error as Errno where error != .brokenPipe {
    throw CommandError("standard output takes no more: \(error). What it has is not complete.")
  }
}

/// Lines on standard error, for results whose data goes to standard output; waits for nobody who does not read
/// them.
func note(_ lines: some CustomStringConvertible) {
  for line in "\(lines)".split(separator: "\n", omittingEmptySubsequences: false) {
    LogQueue.standardError.write("\(line)\n")
  }
  LogQueue.standardError.flush(for: .seconds(2))
}

/// A value as JSON for programs.
func prettyJSON(_ value: some Encodable) throws -> String {
  let encoder = JSONEncoder()
  encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
  return String(decoding: try encoder.encode(value), as: UTF8.self)
}
