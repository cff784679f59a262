import ArgumentParser

/// A key of a configuration file and the type of its value, derived from the corresponding option.
struct ConfigurationKey {
  enum Kind: Equatable {
    case text, number, flag
    /// A number, or a text that begins with one.
    case amount
    /// Namespaces: strings or tables.
    case list
  }

  let name: String
  let kind: Kind

  /// Options of the process, which are not keys of a device.
  static let ofProcess: Set<String> = [
    "log-level", "control", "config", "shared-tables", "sandbox", "sandbox-allow",
  ]

  /// The keys of a table: the options of its subcommand, by their long names.
  static func keys(of command: any ServeSubcommand.Type) -> [ConfigurationKey] {
    // These are those of the process.
    collect(from: command.init()).filter { !ofProcess.contains($0.name) }.sorted {
      $0.name < $1.name
    }
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
    // Numbers without a default were taken in quotes by an earlier version, which wrote them so.
    case is RateText?.Type, is Int?.Type: .amount
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
