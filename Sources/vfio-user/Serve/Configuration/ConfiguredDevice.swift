import VFIOUserProgram
import ArgumentParser
import FoundationEssentials
import SystemPackage

/// A device of a configuration file.
///
/// Its table is converted to the equivalent command line and parsed by the subcommand, so that
/// names, checks and defaults are the same in both.
struct ConfiguredDevice {
  /// The kinds of tables.
  static let kinds: [(name: String, command: any ServeSubcommand.Type)] = [
    ("nvme", ServeNVMe.self), ("serial", ServeSerial.self), ("edu", ServeEdu.self),
    ("scratch", ServeScratch.self),
  ]

  let place: ConfigurationPlace
  let command: any ServeSubcommand
  /// The same as arguments.
  let request: DeviceRequest?
  /// Whether it has a process of its own.
  let isIsolated: Bool

  /// Parses a table.
  ///
  /// - Parameters:
  ///   - kind: one of ``kinds``.
  ///   - number: the number of the table among those of its kind, from 1.
  ///   - isolation: what the file says for all tables.
  ///   - folder: the directory that relative paths refer to.
  /// - Throws: ``ConfigurationError``.
  init(
    _ kind: (name: String, command: any ServeSubcommand.Type), number: Int,
    _ table: ConfigurationTable, _ isolation: IsolationKeys? = nil, in file: ConfigurationPlace,
    folder: FilePath
  ) throws {
    place = file.table(kind.name, number).line(table.line)
    var table = table
    isIsolated = try isolation?.apply(to: &table, at: place) ?? false
    let keys = ConfigurationKey.keys(of: kind.command)
    var arguments = [kind.name]
    for (name, entry) in table.sorted {
      guard let key = keys.first(where: { $0.name == name }) else {
        throw ConfigurationError(
          place.line(entry.line), Self.unknownKey(name, (keys.map(\.name) + ["isolation"]).sorted())
        )
      }
      arguments += try Self.arguments(key, entry, at: place, folder)
    }
    command = try Self.parse(arguments, table, at: place)
    request = DeviceRequest(
      kind.name, Array(arguments.dropFirst()), of: kind.command,
      folder: FileManager.default.currentDirectoryPath)
  }

  private static func unknownKey(_ name: String, _ names: [String]) -> String {
    let hint =
      name == "log-level"
      ? " It belongs to the file, above all tables." : Suggestion.sentence(for: name, among: names)
    return "there is no key '\(name)'.\(hint) The keys are \(names.joined(separator: ", "))."
  }

  private static func parse(
    _ arguments: [String], _ table: ConfigurationTable, at place: ConfigurationPlace
  ) throws -> any ServeSubcommand {
    do {
      if let command = try Serve.parseAsRoot(arguments) as? any ServeSubcommand { return command }
    } catch {
      let message = Serve.message(for: error)
      throw ConfigurationError(
        place.line(line(of: message, table)), inWordsOfTheFile(message))
    }
    throw ConfigurationError(place, "this is not a device.")
  }

  /// The line of the first option in a message that the table sets, otherwise the line of the
  /// table.
  private static func line(of message: String, _ table: ConfigurationTable) -> Int {
    let names = message.matches(of: /--([a-z][a-z-]*)/).map { String($0.1) }
    return names.compactMap { table.entries[$0]?.line }.first ?? table.line
  }

  /// Replaces options in a message by keys: `'--cache <cache>'` becomes `'cache'`.
  static func inWordsOfTheFile(_ message: String) -> String {
    message.replacing(/'--([a-z-]+) <[^>]*>'/) { "'\($0.1)'" }
      .replacing(/--([a-z][a-z-]*)/) { "\($0.1)" }
  }

  private static func arguments(
    _ key: ConfigurationKey, _ entry: ConfigurationEntry, at place: ConfigurationPlace,
    _ folder: FilePath
  ) throws -> [String] {
    switch (key.kind, entry.value) {
    case (.text, .text(let text)):
      return [
        "--\(key.name)=\(DeviceArguments.paths.contains(key.name) ? absolute(text, folder) : text)"
      ]
    case (.amount, .text(let text)): return ["--\(key.name)=\(text)"]
    case (.number, .number(let number)), (.amount, .number(let number)):
      return ["--\(key.name)=\(number)"]
    case (.flag, .flag(let isSet)): return isSet ? ["--\(key.name)"] : []
    case (.list, .list(let values)):
      return try values.enumerated().map { index, value in
        var place = place.line(entry.line).entry(key.name, index + 1)
        if case .table(let table) = value { place = place.line(table.line) }
        return "--\(key.name)=\(try namespace(value, at: place, folder))"
      }
    default:
      throw ConfigurationError(place.key(key.name, entry), "it takes \(key.kind.expectation).")
    }
  }

  private static func namespace(
    _ entry: ConfigurationValue, at place: ConfigurationPlace, _ folder: FilePath
  ) throws -> String {
    var options: NamespaceOptions
    do {
      switch entry {
      case .text(let text): options = try NamespaceOptions(parsing: text)
      case .table(let table): options = try NamespaceOptions(table)
      default:
        throw ConfigurationError(
          place, "it is \(entry), and has to be a table, or a text as behind --namespace.")
      }
      if let file = options.file { options.file = absolute(file, folder) }
      try options.check()
    } catch let error as ValidationError {
      throw ConfigurationError(place, inWordsOfTheFile(error.message))
    }
    return options.description
  }

  private static func absolute(_ path: String, _ folder: FilePath) -> String {
    path.isEmpty ? path : folder.pushing(FilePath(path)).lexicallyNormalized().string
  }
}

extension ConfigurationKey.Kind {
  /// What the key accepts.
  fileprivate var expectation: String {
    switch self {
    case .text: "a text, in quotes"
    case .number: "a whole number"
    case .amount: "a whole number, or a text in quotes"
    case .flag: "true or false"
    case .list: "a list of tables or texts, in square brackets"
    }
  }
}
