/// Suggests known names for an unknown one.
enum Suggestion {
  /// "Did you mean 'nvme'?" with a leading space; empty if no name is similar.
  static func sentence(for name: String, among names: [String]) -> String {
    if let new = RenamedOptions.names[name], names.contains(new) {
      return " It is called '\(new)' now."
    }
    guard !names.contains(name), let nearest = nearest(to: name, among: names) else { return "" }
    return " Did you mean '\(nearest)'?"
  }

  /// The name at the smallest edit distance, at most a third of its letters; nil if there is none.
  static func nearest(to name: String, among names: [String]) -> String? {
    // A name this long cannot be a typing error of a short one.
    guard name.utf8.count <= 40 else { return nil }
    let ranked = names.map { (name: $0, distance: distance(Array(name), Array($0))) }
    guard let best = ranked.min(by: { $0.distance < $1.distance }),
      best.distance <= max(1, best.name.count / 3)
    else { return nil }
    return best.name
  }

  /// The edit distance: insertions, deletions, replacements and swaps of neighbours
  /// (Damerau-Levenshtein, each letter edited once).
  static func distance(_ from: [Character], _ to: [Character]) -> Int {
    var rows = [Array(0...to.count)]
    for (row, letter) in from.enumerated() {
      var current = [row + 1]
      for (column, other) in to.enumerated() {
        var best = min(
          rows[row][column + 1] + 1, current[column] + 1,
          rows[row][column] + (letter == other ? 0 : 1))
        if row > 0, column > 0, letter == to[column - 1], from[row - 1] == other {
          best = min(best, rows[row - 1][column - 1] + 1)
        }
        current.append(best)
      }
      rows.append(current)
    }
    return rows[from.count][to.count]
  }
}
