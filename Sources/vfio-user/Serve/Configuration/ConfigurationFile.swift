import ArgumentParser
import SystemPackage
import VFIOUserProgram

/// The configuration file of `vfio-user serve --config`: devices, one table each, all validated.
struct ConfigurationFile {
  /// Maximum size of a file in bytes, in case the path is an endless device node.
  static let maxBytes = 1 << 20

  let devices: [ConfiguredDevice]
  let log: LogOptions
  let sandbox: SandboxOptions
  /// What the process of devices without isolation may be and have.
  let privileges: ProcessPrivileges

  /// Reads a file.
  ///
  /// - Throws: ``CommandError`` if the file cannot be read, ``ConfigurationError`` if its contents
  ///   are invalid.
  init(at path: String) throws {
    let place = ConfigurationPlace(file: path)
    let text = try ServedConfiguration.read(at: path) { try Self.text(of: path, place) }
    try self.init(text, in: place, folder: FilePath(path).removingLastComponent())
  }

  private static func text(of path: String, _ place: ConfigurationPlace) throws -> String {
    let bytes = try content(of: path)
    guard let text = String(validating: bytes, as: UTF8.self) else {
      let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
      let line = lines.firstIndex { String(validating: $0, as: UTF8.self) == nil } ?? 0
      throw ConfigurationError(place.line(line + 1), "this is not UTF-8, which TOML is written in.")
    }
    return text
  }

  /// Parses the text of a file.
  ///
  /// - Parameters:
  ///   - text: TOML.
  ///   - place: the location used in messages.
  ///   - folder: the directory that relative paths refer to.
  /// - Throws: ``ConfigurationError``.
  init(_ text: String, in place: ConfigurationPlace, folder: FilePath) throws {
    let document = try Self.document(text, place)
    let entries = document.entries
    log = try Self.options("log-level", entries, place)
    sandbox = try Self.sandboxOptions(entries, place, folder)
    try Self.checkNames(of: document, place)
    let isolation = try IsolationKeys(document, place)
    devices = try ConfiguredDevice.kinds.flatMap { kind in
      try Self.tables(entries[kind.name], kind.name, place).enumerated().map { index, table in
        try ConfiguredDevice(kind, number: index + 1, table, isolation, in: place, folder: folder)
      }
    }
    privileges = try isolation.privileges(place)
    guard !devices.isEmpty else {
      throw ConfigurationError(place, "there is no device in it. Begin one with [[nvme]].")
    }
    try checkClaims(of: devices.map { ($0.command, $0.place) })
  }

  private static func content(of path: String) throws -> [UInt8] {
    do {
      let file = try FileDescriptor.open(FilePath(path), .readOnly, options: .closeOnExec)
      return try file.closeAfter {
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        while bytes.count <= maxBytes {
          // Sound: the buffer is that of the array and valid during the call.
          let got = unsafe try piece.withUnsafeMutableBytes { unsafe try file.read(into: $0) }
          guard got > 0 else { return bytes }
          bytes += piece[..<got]
        }
        throw CommandError(
          "\(path) has more than \(maxBytes) bytes, which no configuration file needs.")
      }
    } catch let error as Errno {
      throw CommandError("cannot read \(path): \(error)")
    }
  }

  private static func document(
    _ text: String, _ place: ConfigurationPlace
  ) throws -> ConfigurationTable {
    var reader = TOMLReader(text)
    do {
      return try reader.document()
    } catch {
      throw ConfigurationError(place.line(error.line), error.what)
    }
  }

  private static func checkNames(
    of document: ConfigurationTable, _ place: ConfigurationPlace
  ) throws {
    let kinds = ConfiguredDevice.kinds.map(\.name)
    for (name, entry) in document.sorted where !keys.contains(name) && !kinds.contains(name) {
      let hint = Suggestion.sentence(for: name, among: kinds + keys)
      throw ConfigurationError(
        place.line(entry.line),
        "there is no device '\(name)'.\(hint) The tables are \(kinds.joined(separator: ", ")); the keys above them are \(keys.joined(separator: ", "))."
      )
    }
  }

  /// Those of the process.
  private static let keys = ["log-level", "sandbox", "sandbox-allow"] + IsolationKeys.names

  /// Options with a key that takes a text.
  private static func options<Options: ParsableArguments>(
    _ key: String, _ entries: [String: ConfigurationEntry], _ place: ConfigurationPlace
  ) throws -> Options {
    guard let entry = entries[key] else { return try Options.parse([]) }
    guard case .text(let text) = entry.value else {
      throw ConfigurationError(place.key(key, entry), "it takes a text, in quotes.")
    }
    do {
      return try Options.parse(["--\(key)=\(text)"])
    } catch {
      throw ConfigurationError(
        place.line(entry.line), ConfiguredDevice.inWordsOfTheFile(Options.message(for: error)))
    }
  }

  private static func sandboxOptions(
    _ entries: [String: ConfigurationEntry], _ place: ConfigurationPlace, _ folder: FilePath
  ) throws -> SandboxOptions {
    var options: SandboxOptions = try options("sandbox", entries, place)
    guard let entry = entries["sandbox-allow"] else { return options }
    guard case .list(let values) = entry.value else {
      throw ConfigurationError(
        place.key("sandbox-allow", entry), "it takes a list of texts, in square brackets.")
    }
    options.sandboxAllow = try values.map { value in
      guard case .text(let path) = value else {
        throw ConfigurationError(place.key("sandbox-allow", entry), "a path is a text, in quotes.")
      }
      return folder.pushing(FilePath(path)).string
    }
    return options
  }

  /// The tables of a kind: any number of `[[kind]]`, or one `[kind]`.
  private static func tables(
    _ entry: ConfigurationEntry?, _ kind: String, _ place: ConfigurationPlace
  ) throws -> [ConfigurationTable] {
    let values: [ConfigurationValue]
    switch entry?.value {
    case nil: values = []
    case .list(let several)?: values = several
    case let one?: values = [one]
    }
    return try values.map { value in
      guard case .table(let table) = value else {
        let wrong = ConfigurationEntry(line: entry?.line ?? 1, value: value)
        throw ConfigurationError(
          place.key(kind, wrong), "a device is a table; begin it with [[\(kind)]].")
      }
      return table
    }
  }
}
