/// A value of a configuration file.
enum ConfigurationValue: Equatable, Sendable {
  case text(String)
  case number(Int)
  case flag(Bool)
  case list([ConfigurationValue])
  case table(ConfigurationTable)
  /// Something that no key takes: a date, or a number with a fraction.
  case other(String)
}

/// What the keys of a table are set to.
struct ConfigurationTable: Equatable, Sendable {
  /// Where it begins, from 1.
  let line: Int
  var entries: [String: ConfigurationEntry]
}

/// A value, and where it was set.
struct ConfigurationEntry: Equatable, Sendable {
  /// From 1.
  let line: Int
  let value: ConfigurationValue
}

extension ConfigurationValue: CustomStringConvertible {
  /// As it stood in the file, or nearly.
  var description: String {
    switch self {
    case .text(let text): "\"\(text)\""
    case .number(let number): "\(number)"
    case .flag(let flag): "\(flag)"
    case .list(let values): "[\(values.map(\.description).joined(separator: ", "))]"
    case .table(let table):
      "{ \(table.sorted.map { "\($0.key) = \($0.entry.value)" }.joined(separator: ", ")) }"
    case .other(let text): text
    }
  }
}

extension ConfigurationTable {
  /// In the order of the keys.
  var sorted: [(key: String, entry: ConfigurationEntry)] {
    entries.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }
}
