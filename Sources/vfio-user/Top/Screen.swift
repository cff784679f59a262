import CLinux
import Glibc
import VFIOUserProgram

/// Shows lines, on a terminal each time in place of those before.
struct Screen {
  let isLive: Bool
  private var shown = 0

  init(isLive: Bool) { self.isLive = isLive }

  mutating func show(_ lines: [String]) throws {
    guard isLive else { return try say(lines.joined(separator: "\n")) }
    // A line that wraps, or that scrolls away, could not be replaced.
    var (columns, rows): (Int32, Int32) = (0, 0)
    // Sound: the numbers are lent for the call.
    unsafe clinux_terminal_size(STDOUT_FILENO, &columns, &rows)
    let lines = lines.prefix(rows > 2 ? Int(rows) - 1 : lines.count).map {
      columns > 0 ? String($0.prefix(Int(columns))) : $0
    }
    // Up to the first line; each line is erased to its end, and what is below the last.
    let up = shown > 0 ? "\u{1B}[\(shown)A" : ""
    shown = lines.count
    try say("\(up)\r" + lines.map { $0 + "\u{1B}[K" }.joined(separator: "\n") + "\u{1B}[J")
  }
}
