/// Rows of text with aligned columns.
struct Table {
  /// Whether a column is aligned to the right, as numbers are.
  var numbers: Set<Int> = []
  private(set) var rows: [[String]]

  init(_ head: [String], numbers: Set<Int> = []) {
    rows = [head]
    self.numbers = numbers
  }

  mutating func add(_ row: [String]) { rows.append(row) }

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
