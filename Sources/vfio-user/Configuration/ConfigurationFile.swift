import ArgumentParser
import Foundation
import TOMLKit

/// What `vfio-user serve --config` reads: devices, one table each, all of them checked.
struct ConfigurationFile {
  let devices: [ConfiguredDevice]
  let log: LogOptions

  /// Reads a file.
  ///
  /// - Throws: ``CommandFailure`` when it cannot be read, ``ConfigurationFlaw`` when something in it is
  ///   wrong.
  init(at path: String) throws {
    let text: String
    do {
      text = try String(contentsOf: URL(filePath: path), encoding: .utf8)
    } catch {
      let reason = (error as NSError).localizedFailureReason ?? error.localizedDescription
      throw CommandFailure("cannot read \(path): \(reason)")
    }
    let folder = URL(filePath: path).absoluteURL.deletingLastPathComponent()
    try self.init(text, in: ConfigurationPlace(file: path), folder: folder)
  }

  /// Reads the text of a file.
  ///
  /// - Parameters:
  ///   - text: TOML.
  ///   - place: how messages call the file.
  ///   - folder: what paths are relative to.
  /// - Throws: ``ConfigurationFlaw``.
  init(_ text: String, in place: ConfigurationPlace, folder: URL) throws {
    let entries = try Self.entries(text, place)
    log = try Self.logOptions(entries["log-level"], place)
    let kinds = ConfiguredDevice.kinds
    for name in entries.keys.sorted() where name != "log-level" {
      guard kinds.contains(where: { $0.name == name }) else {
        throw ConfigurationFlaw(
          place,
          "there is no device '\(name)'. The tables are \(kinds.map(\.name).joined(separator: ", ")); the one key above them is log-level."
        )
      }
    }
    devices = try kinds.flatMap { kind in
      try Self.tables(entries[kind.name], kind.name, place).enumerated().map { index, table in
        try ConfiguredDevice(kind, number: index + 1, table, in: place, folder: folder)
      }
    }
    guard !devices.isEmpty else {
      throw ConfigurationFlaw(place, "there is no device in it. Begin one with [[nvme]].")
    }
    try Self.checkClaims(of: devices)
  }

  private static func entries(
    _ text: String, _ place: ConfigurationPlace
  ) throws -> [String: ConfigurationValue] {
    do {
      return ConfigurationValue.entries(of: try TOMLTable(string: text))
    } catch let error as TOMLParseError {
      throw ConfigurationFlaw(place.line(error.source.begin.line), error.description)
    }
  }

  private static func logOptions(
    _ value: ConfigurationValue?, _ place: ConfigurationPlace
  ) throws -> LogOptions {
    guard let value else { return try LogOptions.parse([]) }
    guard case .text(let level) = value else {
      throw ConfigurationFlaw(place.key("log-level", value), "it takes a text, in quotes.")
    }
    do {
      return try LogOptions.parse(["--log-level=\(level)"])
    } catch {
      throw ConfigurationFlaw(
        place, ConfiguredDevice.inWordsOfTheFile(LogOptions.message(for: error)))
    }
  }

  /// The tables of a kind: `[[kind]]` any number of times, or `[kind]` once.
  private static func tables(
    _ value: ConfigurationValue?, _ kind: String, _ place: ConfigurationPlace
  ) throws -> [[String: ConfigurationValue]] {
    let entries: [ConfigurationValue]
    switch value {
    case nil: entries = []
    case .list(let several)?: entries = several
    case let one?: entries = [one]
    }
    return try entries.map { entry in
      guard case .table(let table) = entry else {
        throw ConfigurationFlaw(
          place.key(kind, entry), "a device is a table; begin it with [[\(kind)]].")
      }
      return table
    }
  }

  /// What one device has to itself no other may have.
  private static func checkClaims(of devices: [ConfiguredDevice]) throws {
    var taken: [String: (claim: Claim, place: ConfigurationPlace)] = [:]
    for device in devices {
      for claim in device.command.claims {
        if let first = taken[claim.identity], !(claim.isShared && first.claim.isShared) {
          let owner = first.place == device.place ? "the same device" : first.place.withinFile
          throw ConfigurationFlaw(
            device.place,
            "its \(claim) is taken by the \(first.claim.what) of \(owner). \(claim.remedy)")
        }
        taken[claim.identity] = (claim, device.place)
      }
    }
  }
}
