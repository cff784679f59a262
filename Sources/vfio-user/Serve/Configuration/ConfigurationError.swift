import VFIOUserProgram

/// An error in a configuration file: its location and a remedy.
struct ConfigurationError: WrongUsage, Equatable {
  let description: String

  init(_ place: ConfigurationPlace, _ what: String) {
    description = "\(place): \(what)"
  }
}

/// A location in a configuration file, for messages: "devices.toml, line 3: [[nvme]] number 1".
struct ConfigurationPlace: Equatable, Sendable, CustomStringConvertible {
  /// The name of the file.
  let file: String
  /// The line, from 1; nil for the file as a whole.
  private(set) var line: Int?
  /// The location within the file, without file name and line.
  private(set) var withinFile = ""

  /// Creates the location of the file as a whole.
  init(file: String) { self.file = file }

  var description: String {
    let place = line.map { "\(file), line \($0)" } ?? file
    return withinFile.isEmpty ? place : "\(place): \(withinFile)"
  }

  /// The same location with a line number, from 1.
  func line(_ number: Int) -> ConfigurationPlace {
    var place = self
    place.line = number
    return place
  }

  /// A table of the file; the first one of its kind has number 1.
  func table(_ kind: String, _ number: Int) -> ConfigurationPlace {
    adding("[[\(kind)]] number \(number)")
  }

  /// A table inside a table.
  func entry(_ key: String, _ number: Int) -> ConfigurationPlace {
    adding("\(key) number \(number)")
  }

  /// A key and its value.
  func key(_ key: String, _ entry: ConfigurationEntry) -> ConfigurationPlace {
    adding("\(key) = \(entry.value)").line(entry.line)
  }

  private func adding(_ part: String) -> ConfigurationPlace {
    var place = self
    place.withinFile += withinFile.isEmpty ? part : ", \(part)"
    return place
  }
}
