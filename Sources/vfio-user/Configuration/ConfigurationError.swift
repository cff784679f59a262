/// What is wrong in a configuration file: where, and what would be right.
struct ConfigurationError: Error, Equatable, CustomStringConvertible {
  let description: String

  init(_ place: ConfigurationPlace, _ what: String) {
    description = "\(place): \(what)"
  }
}

/// A spot in a configuration file, as messages name it: "devices.toml, line 3: [[nvme]] number 1".
struct ConfigurationPlace: Equatable, CustomStringConvertible {
  /// The file.
  let file: String
  /// Nil for the file as a whole.
  private(set) var line: Int?
  /// The spot, where the file is clear.
  private(set) var withinFile = ""

  /// The file as a whole.
  init(file: String) { self.file = file }

  var description: String {
    let place = line.map { "\(file), line \($0)" } ?? file
    return withinFile.isEmpty ? place : "\(place): \(withinFile)"
  }

  /// The same in a line, from 1.
  func line(_ number: Int) -> ConfigurationPlace {
    var place = self
    place.line = number
    return place
  }

  /// A table of the file; the first of its kind has number 1.
  func table(_ kind: String, _ number: Int) -> ConfigurationPlace {
    adding("[[\(kind)]] number \(number)")
  }

  /// A table within a table.
  func entry(_ key: String, _ number: Int) -> ConfigurationPlace {
    adding("\(key) number \(number)")
  }

  /// A key and what it was set to.
  func key(_ key: String, _ entry: ConfigurationEntry) -> ConfigurationPlace {
    adding("\(key) = \(entry.value)").line(entry.line)
  }

  private func adding(_ part: String) -> ConfigurationPlace {
    var place = self
    place.withinFile += withinFile.isEmpty ? part : ", \(part)"
    return place
  }
}
