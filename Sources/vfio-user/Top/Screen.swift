import VFIOUserProgram

/// Shows lines, on a terminal each time in place of those before.
struct Screen {
  let isLive: Bool
  private var shown = 0

  init(isLive: Bool) { self.isLive = isLive }

  mutating func show(_ lines: [String]) throws {
    guard isLive else { return try say(lines.joined(separator: "\n")) }
    // Up to the first line; each line is erased to its end, and what is below the last.
    let up = shown > 0 ? "\u{1B}[\(shown)A" : ""
    shown = lines.count
    try say("\(up)\r" + lines.map { $0 + "\u{1B}[K" }.joined(separator: "\n") + "\u{1B}[J")
  }
}
