/// A value in a configuration file.
enum ConfigurationValue: Equatable, Sendable {
  case text(String)
  case number(Int)
  case flag(Bool)
  case list([ConfigurationValue])
  case table(ConfigurationTable)
  /// A value that no key accepts: a date, or a number with a fraction.
  case other(String)
}

/// The keys of a table with their values.
struct ConfigurationTable: Equatable, Sendable {
  /// The first line of the table, from 1.
  let line: Int
  var entries: [String: ConfigurationEntry]
}

/// A value and its line.
struct ConfigurationEntry: Equatable, Sendable {
  /// The line, from 1.
  let line: Int
  let value: ConfigurationValue
}

extension ConfigurationValue: CustomStringConvertible {
  /// The value approximately as written in the file.
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
  /// The entries sorted by key.
  var sorted: [(key: String, entry: ConfigurationEntry)] {
    entries.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }
}
