import SystemPackage

/// Prints a line at once, also into a pipe; a reader that has gone is nobody's problem.
func say(_ line: some CustomStringConvertible = "") {
  _ = try? FileDescriptor.standardOutput.writeAll(Array("\(line)\n".utf8))
}
