/// Options that have another name now; whoever uses the old one is told.
enum RenamedOptions {
  /// The new name by the old one, without dashes; the keys of a configuration file are the same.
  static let names = ["linger": "busy-poll"]

  /// Looks at the arguments in front of a `--`.
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
