internal import SystemPackage

/// Prints a line immediately, also to a pipe.
///
/// When nobody reads the pipe any more the program ends, by EPIPE or by SIGPIPE: a command that prints until it is
/// stopped would go on for ever.
///
/// - Throws: ``CommandError`` if the line cannot be printed: incomplete output must not look like
///   success.
package func say(_ line: some CustomStringConvertible = "") throws {
  do {
    try FileDescriptor.standardOutput.writeAll(Array("\(line)\n".utf8))
  } catch let error as Errno where error != .brokenPipe {
    throw CommandError("standard output takes no more: \(error). What it has is not complete.")
  }
}

/// Writes lines to standard error, for results whose data goes to standard output.
///
/// Waits at most two seconds for them to be written.
package func note(_ lines: some CustomStringConvertible) {
  for line in "\(lines)".split(separator: "\n", omittingEmptySubsequences: false) {
    LogQueue.standardError.write("\(line)\n")
  }
  LogQueue.standardError.flush(for: .seconds(2))
}
