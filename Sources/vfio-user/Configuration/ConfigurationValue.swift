import TOMLKit

/// A value of a configuration file, whatever language it was written in.
enum ConfigurationValue: Equatable {
  case text(String)
  case number(Int)
  case flag(Bool)
  case list([ConfigurationValue])
  case table([String: ConfigurationValue])
  /// Something that no key takes: a date, or a number with a fraction.
  case other(String)

  init(_ value: any TOMLValueConvertible) {
    self =
      if let text = value.string {
        .text(text)
      } else if let flag = value.bool {
        .flag(flag)
      } else if let number = value.int {
        .number(number)
      } else if let list = value.array {
        .list(list.map { ConfigurationValue($0) })
      } else if let table = value.table {
        .table(Self.entries(of: table))
      } else {
        .other(value.debugDescription)
      }
  }

  static func entries(of table: TOMLTable) -> [String: ConfigurationValue] {
    var entries: [String: ConfigurationValue] = [:]
    for (key, value) in table { entries[key] = ConfigurationValue(value) }
    return entries
  }
}

extension ConfigurationValue: CustomStringConvertible {
  /// As it stood in the file, or nearly.
  var description: String {
    switch self {
    case .text(let text): "\"\(text)\""
    case .number(let number): "\(number)"
    case .flag(let flag): "\(flag)"
    case .list(let values): "[\(values.map(\.description).joined(separator: ", "))]"
    case .table(let entries):
      "{ \(entries.sorted { $0.key < $1.key }.map { "\($0.key) = \($0.value)" }.joined(separator: ", ")) }"
    case .other(let text): text
    }
  }
}
