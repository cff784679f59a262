/// Rows of text with aligned columns.
struct Table {
  /// Whether a column is aligned to the right, as numbers are.
  var numbers: Set<Int> = []
  private(set) var rows: [[String]]

  init(_ head: [String], numbers: Set<Int> = []) {
    rows = [head]
    self.numbers = numbers
  }

  /// A peer may have sent a part of the row.
  mutating func add(_ row: [String]) { rows.append(row.map(printable)) }

  /// The lines, without trailing blanks.
  var lines: [String] {
    let count = rows.map(\.count).max() ?? 0
    let widths = (0..<count).map { column in
      rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
    }
    return rows.map { row in
      let cells = row.enumerated().map { column, text in
        let padding = String(repeating: " ", count: widths[column] - text.count)
        return numbers.contains(column) ? padding + text : text + padding
      }
      let line = cells.joined(separator: "  ")
      return String(
        line.prefix(
          line.lastIndex { $0 != " " }.map { line.distance(from: line.startIndex, to: $0) + 1 } ?? 0
        ))
    }
  }

  var text: String { lines.joined(separator: "\n") }
}

/// Rows with figures behind their first column, as indented lines.
func table(_ rows: [[String]]) -> [String] {
  var table = Table(rows.first ?? [], numbers: Set(1..<max(2, rows.map(\.count).max() ?? 0)))
  for row in rows.dropFirst() { table.add(row) }
  return table.lines.map { "  " + $0 }
}
