import ArgumentParser
import FoundationEssentials
import SystemPackage
import VFIOUserProgram

/// The arguments of a device in one form: `--name=value` or `--name`, sorted by name, with absolute paths.
enum DeviceArguments {
  /// Options with a path.
  static let paths: Set<String> = ["socket", "file", "listen", "state"]
  /// Options that a device has under two names.
  private static let otherNames = ["socket-path": "socket"]

  /// - Parameters:
  ///   - arguments: as on the command line.
  ///   - folder: what relative paths start from.
  /// - Throws: `ValidationError` for a namespace that cannot be read.
  static func normal(
    _ arguments: [String], of command: any ServeSubcommand.Type, folder: String
  ) throws -> [String] {
    let keys = ConfigurationKey.keys(of: command)
    var found: [(name: String, text: String)] = []
    var rest = arguments[...]
    while let argument = rest.popFirst() {
      guard argument.hasPrefix("--") else {
        found.append(("", argument))
        continue
      }
      let parts = argument.dropFirst(2).split(separator: "=", maxSplits: 1)
      let written = parts.first.map(String.init) ?? ""
      let name = otherNames[written] ?? written
      let isFlag = keys.first { $0.name == name }?.kind == .flag
      let value = parts.count > 1 ? String(parts[1]) : isFlag ? nil : rest.popFirst()
      guard !ConfigurationKey.ofProcess.contains(name) else { continue }
      guard let value else {
        found.append((name, "--\(name)"))
        continue
      }
      found.append((name, "--\(name)=\(try absolute(value, of: name, folder))"))
    }
    // Stable: the order of namespaces is their numbers.
    return found.enumerated().sorted { one, other in
      (one.element.name, one.offset) < (other.element.name, other.offset)
    }.map(\.element.text)
  }

  private static func absolute(
    _ value: String, of name: String, _ folder: String
  ) throws -> String {
    if paths.contains(name) { return absolute(value, folder) }
    guard name == "namespace" else { return value }
    var options = try NamespaceOptions(parsing: value)
    if let file = options.file { options.file = absolute(file, folder) }
    return options.description
  }

  private static func absolute(_ path: String, _ folder: String) -> String {
    // As it is: `..` behind a symbolic link leads elsewhere than it seems.
    path.isEmpty ? path : FilePath(folder).pushing(FilePath(path)).string
  }
}

extension DeviceRequest {
  /// The device of the command line of this process; nil if that cannot be told.
  static func ofCommandLine(_ command: any ServeSubcommand.Type) -> DeviceRequest? {
    let kind = command._commandName
    guard let place = CommandLine.arguments.firstIndex(of: kind) else { return nil }
    return DeviceRequest(
      kind, Array(CommandLine.arguments[(place + 1)...]), of: command,
      folder: FileManager.default.currentDirectoryPath)
  }

  init?(
    _ kind: String, _ arguments: [String], of command: any ServeSubcommand.Type, folder: String
  ) {
    guard let normal = try? DeviceArguments.normal(arguments, of: command, folder: folder)
    else { return nil }
    self.init(kind: kind, arguments: normal)
  }
}
