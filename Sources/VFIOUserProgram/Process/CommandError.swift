/// The message to the user when a command fails: cause and remedy.
package struct CommandError: Error, CustomStringConvertible {
  package let description: String

  package init(_ description: String) { self.description = description }
}

/// An error in what the user has written, reported without the usage text; exit code 64.
package protocol WrongUsage: Error, CustomStringConvertible {}

/// An error in the command line.
package struct UsageError: WrongUsage {
  package let description: String

  package init(_ description: String) { self.description = description }
}
