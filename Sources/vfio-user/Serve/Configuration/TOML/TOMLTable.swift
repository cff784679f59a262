/// A table during parsing.
final class TOMLTable {
  /// How the table was created, which determines how it may be extended.
  enum Origin {
    /// By the header of a subtable; it can still be defined by its own header.
    case implied
    /// By a dotted key; more dotted keys can extend it.
    case dotted
    /// By its own header, or inline in braces; it cannot be defined again.
    case header
  }

  private enum Entry {
    case value(ConfigurationEntry)
    case table(TOMLTable)
    case list([TOMLTable])
  }

  private let line: Int
  private var origin: Origin
  private var entries: [String: Entry] = [:]

  init(_ origin: Origin, line: Int) {
    self.origin = origin
    self.line = line
  }

  /// Returns the table of a key, creating it if there is none; for an array of tables the last one.
  func descend(
    to key: String, making origin: Origin, _ line: Int
  ) throws(TOMLError) -> TOMLTable {
    switch entries[key] {
    case nil:
      let table = TOMLTable(origin, line: line)
      entries[key] = .table(table)
      return table
    case .table(let table)?:
      if origin == .dotted {
        guard table.origin != .header else { throw Self.taken(key, table.line, line) }
        table.origin = .dotted
      }
      return table
    case .list(let tables)?:
      guard origin != .dotted, let table = tables.last else {
        throw Self.taken(key, tables.first?.line ?? line, line)
      }
      return table
    case .value(let value)?:
      throw Self.taken(key, value.line, line)
    }
  }

  /// Defines the table of `[key]`.
  func define(_ key: String, _ line: Int) throws(TOMLError) -> TOMLTable {
    let table = TOMLTable(.header, line: line)
    switch entries[key] {
    case nil: break
    case .table(let implied)? where implied.origin == .implied: table.entries = implied.entries
    case let entry?: throw Self.taken(key, Self.line(entry), line)
    }
    entries[key] = .table(table)
    return table
  }

  /// Appends a table for `[[key]]`.
  func append(_ key: String, _ line: Int) throws(TOMLError) -> TOMLTable {
    let table = TOMLTable(.header, line: line)
    switch entries.removeValue(forKey: key) {
    case nil: entries[key] = .list([table])
    case .list(var tables)?:
      tables.append(table)
      entries[key] = .list(tables)
    case let entry?:
      entries[key] = entry
      throw Self.taken(key, Self.line(entry), line)
    }
    return table
  }

  /// Sets the value of a key.
  func set(_ key: String, _ value: ConfigurationValue, _ line: Int) throws(TOMLError) {
    if let entry = entries[key] { throw Self.taken(key, Self.line(entry), line) }
    entries[key] = .value(ConfigurationEntry(line: line, value: value))
  }

  /// The finished table.
  var finished: ConfigurationTable {
    ConfigurationTable(
      line: line,
      entries: entries.mapValues { entry in
        switch entry {
        case .value(let value): value
        case .table(let table):
          ConfigurationEntry(line: table.line, value: .table(table.finished))
        case .list(let tables):
          ConfigurationEntry(
            line: tables.first?.line ?? line, value: .list(tables.map { .table($0.finished) }))
        }
      })
  }

  private static func line(_ entry: Entry) -> Int {
    switch entry {
    case .value(let value): value.line
    case .table(let table): table.line
    case .list(let tables): tables.first?.line ?? 0
    }
  }

  private static func taken(_ key: String, _ first: Int, _ line: Int) -> TOMLError {
    TOMLError(line: line, what: "'\(key)' is set already, in line \(first).")
  }
}
