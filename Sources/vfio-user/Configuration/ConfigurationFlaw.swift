/// What is wrong in a configuration file: where, and what would be right.
struct ConfigurationFlaw: Error, Equatable, CustomStringConvertible {
  let description: String

  init(_ place: ConfigurationPlace, _ what: String) {
    description = "\(place): \(what)"
  }
}

/// A spot in a configuration file, as messages name it.
struct ConfigurationPlace: Equatable, CustomStringConvertible {
  /// The file.
  let file: String
  /// Where in it, as it follows the file's name.
  private let rest: String

  var description: String { file + rest }

  /// The spot, where the file is clear.
  var withinFile: String { String(rest.trimmingPrefix(#/[:,] /#)) }

  /// The file as a whole.
  init(file: String) { self.init(file, "") }

  private init(_ file: String, _ rest: String) { (self.file, self.rest) = (file, rest) }

  /// A line of the file, from 1.
  func line(_ number: Int) -> ConfigurationPlace {
    ConfigurationPlace(file, "\(rest), line \(number)")
  }

  /// A table of the file; the first of its kind has number 1.
  func table(_ kind: String, _ number: Int) -> ConfigurationPlace {
    ConfigurationPlace(file, "\(rest): [[\(kind)]] number \(number)")
  }

  /// A table within a table.
  func entry(_ key: String, _ number: Int) -> ConfigurationPlace {
    ConfigurationPlace(file, "\(rest), \(key) number \(number)")
  }

  /// A key and what it was set to.
  func key(_ key: String, _ value: ConfigurationValue) -> ConfigurationPlace {
    ConfigurationPlace(file, "\(rest), \(key) = \(value)")
  }
}
