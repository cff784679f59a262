import Foundation
import SystemPackage

/// Prints a line immediately, also to a pipe; EPIPE is ignored.
///
/// - Throws: ``CommandError`` if the line cannot be printed: incomplete output must not look like
///   success.
func say(_ line: some CustomStringConvertible = "") throws {
  do {
    try FileDescriptor.standardOutput.writeAll(Array("\(line)\n".utf8))
  } catch let error as Errno where error != .brokenPipe {
    throw CommandError("standard output takes no more: \(error). What it has is not complete.")
  }
}

/// Writes lines to standard error, for results whose data goes to standard output.
///
/// Waits at most two seconds for them to be written.
func note(_ lines: some CustomStringConvertible) {
  for line in "\(lines)".split(separator: "\n", omittingEmptySubsequences: false) {
    LogQueue.standardError.write("\(line)\n")
  }
  LogQueue.standardError.flush(for: .seconds(2))
}

/// A value as JSON, formatted and with sorted keys.
func prettyJSON(_ value: some Encodable) throws -> String {
  let encoder = JSONEncoder()
  encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
  return String(decoding: try encoder.encode(value), as: UTF8.self)
}
