import ArgumentParser
import VFIOUserProgram

/// What a configuration file says of processes above its tables: `isolation`, and whose they are.
///
/// `isolation` is `"process"` for a process for each device, or `"none"`, the default, for one for all; a table may say
/// otherwise for its device. The other keys are defaults for the processes.
struct IsolationKeys {
  static let names = ["isolation"] + ofProcesses
  private static let ofProcesses = ["user", "group", "memory-limit"]

  /// Whether a table that does not say it has a process of its own.
  private let isIsolated: Bool
  private let defaults: [String: ConfigurationEntry]

  /// - Throws: ``ConfigurationError`` for a value that `isolation` does not have.
  init(_ document: ConfigurationTable, _ place: ConfigurationPlace) throws {
    isIsolated = try Self.isolation(document.entries["isolation"], place) ?? false
    defaults = document.entries.filter { Self.ofProcesses.contains($0.key) }
  }

  /// Takes `isolation` out of a table, and puts in what it does not say itself.
  ///
  /// - Returns: whether its device has a process of its own.
  func apply(to table: inout ConfigurationTable, at place: ConfigurationPlace) throws -> Bool {
    let entry = table.entries.removeValue(forKey: "isolation")
    guard try Self.isolation(entry, place) ?? isIsolated else {
      for (name, entry) in table.sorted where Self.ofProcesses.contains(name) {
        throw ConfigurationError(
          place.key(name, entry),
          "it is for a process, and this device has none of its own. Add isolation = \"process\", or write it above all tables, for the process of all devices."
        )
      }
      return false
    }
    // A user of its own has no use for another one's group.
    let inherited = defaults.filter { $0.key != "group" || table.entries["user"] == nil }
    table.entries.merge(inherited) { own, _ in own }
    return true
  }

  /// What the process of the devices that have none of their own may be and have.
  func privileges(_ place: ConfigurationPlace) throws -> ProcessPrivileges {
    let arguments = try defaults.sorted { $0.key < $1.key }.map { name, entry in
      guard case .text(let text) = entry.value else {
        throw ConfigurationError(place.key(name, entry), "it takes a text, in quotes.")
      }
      return "--\(name)=\(text)"
    }
    do {
      return try PrivilegeOptions.parse(arguments).privileges
    } catch {
      let line = defaults.values.map(\.line).min() ?? 1
      throw ConfigurationError(
        place.line(line), ConfiguredDevice.inWordsOfTheFile(PrivilegeOptions.message(for: error)))
    }
  }

  private static func isolation(
    _ entry: ConfigurationEntry?, _ place: ConfigurationPlace
  ) throws -> Bool? {
    switch entry?.value {
    case nil: return nil
    case .text("process")?: return true
    case .text("none")?: return false
    default:
      let wrong = entry ?? ConfigurationEntry(line: 1, value: .text(""))
      throw ConfigurationError(
        place.key("isolation", wrong),
        "it takes \"process\" (a process for each device) or \"none\".")
    }
  }
}
