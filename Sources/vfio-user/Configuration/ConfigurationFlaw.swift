/// What is wrong in a configuration file: where, and what would be right.
struct ConfigurationFlaw: Error, Equatable, CustomStringConvertible {
  let description: String

  init(_ place: ConfigurationPlace, _ what: String) {
    description = "\(place): \(what)"
  }
}

/// A spot in a configuration file, as messages name it.
struct ConfigurationPlace: Equatable, CustomStringConvertible {
  let description: String

  /// The file as a whole.
  init(file: String) { description = file }

  private init(_ description: String) { self.description = description }

  /// A line of the file, from 1.
  func line(_ number: Int) -> ConfigurationPlace {
    ConfigurationPlace("\(description), line \(number)")
  }

  /// A table of the file; the first of its kind has number 1.
  func table(_ kind: String, _ number: Int) -> ConfigurationPlace {
    ConfigurationPlace("\(description): [[\(kind)]] number \(number)")
  }

  /// A table within a table.
  func entry(_ key: String, _ number: Int) -> ConfigurationPlace {
    ConfigurationPlace("\(description), \(key) number \(number)")
  }

  /// A key and what it was set to.
  func key(_ key: String, _ value: ConfigurationValue) -> ConfigurationPlace {
    ConfigurationPlace("\(description), \(key) = \(value)")
  }
}
