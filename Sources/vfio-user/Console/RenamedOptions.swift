import VFIOUserProgram

/// Options that have been renamed; the old names result in an error with the new one.
enum RenamedOptions {
  /// The new names by old name, without dashes; the keys of a configuration file are the same.
  static let names = ["linger": "busy-poll"]

  /// Checks the arguments before a `--`.
  ///
  /// - Throws: ``UsageError`` with the new name.
  static func check(_ arguments: [String]) throws(UsageError) {
    for argument in arguments.prefix(while: { $0 != "--" }) where argument.hasPrefix("--") {
      let name = argument.dropFirst(2).prefix { $0 != "=" }
      guard let new = names[String(name)] else { continue }
      throw UsageError("--\(name) is called --\(new) now.")
    }
  }
}
