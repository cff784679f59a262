import ArgumentParser
import Foundation

/// A device of a configuration file.
///
/// Its table is turned into the command line that says the same and read by the subcommand, so that
/// both have the same names, checks and defaults.
struct ConfiguredDevice {
  /// The kinds of tables.
  static let kinds: [(name: String, command: any DeviceCommand.Type)] = [
    ("nvme", ServeNVMe.self), ("serial", ServeSerial.self), ("edu", ServeEdu.self),
    ("scratch", ServeScratch.self),
  ]

  /// Keys of a device, and of a namespace, that are paths.
  private static let paths: Set<String> = ["socket", "file", "listen", "state"]

  let place: ConfigurationPlace
  let command: any DeviceCommand

  /// Reads a table.
  ///
  /// - Parameters:
  ///   - kind: one of ``kinds``.
  ///   - number: which table of the kind it is, from 1.
  ///   - folder: what paths are relative to.
  /// - Throws: ``ConfigurationFlaw``.
  init(
    _ kind: (name: String, command: any DeviceCommand.Type), number: Int,
    _ table: [String: ConfigurationValue], in file: ConfigurationPlace, folder: URL
  ) throws {
    place = file.table(kind.name, number)
    let keys = ConfigurationKey.keys(of: kind.command)
    var arguments = [kind.name]
    for (name, value) in table.sorted(by: { $0.key < $1.key }) {
      guard let key = keys.first(where: { $0.name == name }) else {
        let hint = name == "log-level" ? " It belongs to the file, above all tables." : ""
        throw ConfigurationFlaw(
          place,
          "there is no key '\(name)'.\(hint) The keys are \(keys.map(\.name).joined(separator: ", "))."
        )
      }
      arguments += try Self.arguments(key, value, at: place, folder)
    }
    command = try Self.parse(arguments, at: place)
  }

  private static func parse(
    _ arguments: [String], at place: ConfigurationPlace
  ) throws -> any DeviceCommand {
    do {
      if let command = try Serve.parseAsRoot(arguments) as? any DeviceCommand { return command }
    } catch {
      throw ConfigurationFlaw(place, inWordsOfTheFile(Serve.message(for: error)))
    }
    throw ConfigurationFlaw(place, "this is not a device.")
  }

  /// A message about options as one about keys: `'--cache <cache>'` becomes `'cache'`.
  static func inWordsOfTheFile(_ message: String) -> String {
    message.replacing(/'--([a-z-]+) <[^>]*>'/) { "'\($0.1)'" }
      .replacing(/--([a-z][a-z-]*)/) { "\($0.1)" }
  }

  private static func arguments(
    _ key: ConfigurationKey, _ value: ConfigurationValue, at place: ConfigurationPlace,
    _ folder: URL
  ) throws -> [String] {
    switch (key.kind, value) {
    case (.text, .text(let text)):
      return ["--\(key.name)=\(paths.contains(key.name) ? absolute(text, folder) : text)"]
    case (.number, .number(let number)): return ["--\(key.name)=\(number)"]
    case (.flag, .flag(let isSet)): return isSet ? ["--\(key.name)"] : []
    case (.list, .list(let entries)):
      return try entries.enumerated().map { index, entry in
        let place = place.entry(key.name, index + 1)
        return "--\(key.name)=\(try namespace(entry, at: place, folder))"
      }
    default:
      throw ConfigurationFlaw(place.key(key.name, value), "it takes \(key.kind.expectation).")
    }
  }

  private static func namespace(
    _ entry: ConfigurationValue, at place: ConfigurationPlace, _ folder: URL
  ) throws -> String {
    var options: NamespaceOptions
    do {
      switch entry {
      case .text(let text): options = try NamespaceOptions(parsing: text)
      case .table(let table): options = try NamespaceOptions(table)
      default:
        throw ConfigurationFlaw(
          place, "it is \(entry), and has to be a table, or a text as behind --namespace.")
      }
      if let file = options.file { options.file = absolute(file, folder) }
      try options.check()
    } catch let error as ValidationError {
      throw ConfigurationFlaw(place, inWordsOfTheFile(error.message))
    }
    return options.description
  }

  private static func absolute(_ path: String, _ folder: URL) -> String {
    guard !path.isEmpty else { return path }
    let base = URL(filePath: folder.path, directoryHint: .isDirectory)
    return URL(filePath: path, relativeTo: base).standardizedFileURL.path
  }
}

extension ConfigurationKey.Kind {
  /// What to write instead.
  fileprivate var expectation: String {
    switch self {
    case .text: "a text, in quotes"
    case .number: "a whole number"
    case .flag: "true or false"
    case .list: "a list of tables or texts, in square brackets"
    }
  }
}
