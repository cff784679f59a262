import ArgumentParser

/// A key of a configuration file and the type of its value, derived from the corresponding option.
struct ConfigurationKey {
  enum Kind: Equatable {
    case text, number, flag
    /// Namespaces: strings or tables.
    case list
  }

  let name: String
  let kind: Kind

  /// The keys of a table: the options of its subcommand, by their long names.
  static func keys(of command: any ServeSubcommand.Type) -> [ConfigurationKey] {
    // The log level is set for the file as a whole.
    collect(from: command.init()).filter { $0.name != "log-level" }.sorted { $0.name < $1.name }
  }

  private static func collect(from options: Any) -> [ConfigurationKey] {
    Mirror(reflecting: options).children.flatMap { label, value -> [ConfigurationKey] in
      if let group = value as? any OptionGroupLike { return collect(from: group.unparsed) }
      guard let label, let option = value as? any OptionLike else { return [] }
      return [ConfigurationKey(name: longName(label), kind: option.kind)]
    }
  }

  /// The name that ArgumentParser derives from a property: `_blockSize` is `--block-size`.
  private static func longName(_ label: String) -> String {
    label.drop { $0 == "_" }.map { $0.isUppercase ? "-\($0.lowercased())" : "\($0)" }.joined()
  }
}

private protocol OptionLike {
  var kind: ConfigurationKey.Kind { get }
}

private protocol OptionGroupLike {
  /// The options of the group, without values.
  var unparsed: Any { get }
}

extension Option: OptionLike {
  fileprivate var kind: ConfigurationKey.Kind {
    switch Value.self {
    case is any FixedWidthInteger.Type, is Int32?.Type: .number
    case is [String].Type: .list
    default: .text
    }
  }
}

extension Flag: OptionLike {
  fileprivate var kind: ConfigurationKey.Kind { .flag }
}

extension OptionGroup: OptionGroupLike {
  fileprivate var unparsed: Any { Value() }
}
