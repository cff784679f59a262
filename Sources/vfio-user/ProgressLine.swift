import CLinux
import Glibc

/// How far a long command is: a line on standard error that is written over, and only on a terminal.
struct ProgressLine {
  private static let interval: UInt64 = 200_000_000
  private let isShown: Bool
  private var nextAt: UInt64 = 0
  private var width = 0

  /// - Parameter isWanted: false for silence, whatever standard error is.
  init(_ isWanted: Bool = true) {
    isShown = isWanted && isatty(STDERR_FILENO) == 1
  }

  /// Shows a text, if the last one has been there for a while.
  mutating func show(_ text: @autoclosure () -> String) {
    guard isShown, clinux_now() >= nextAt else { return }
    nextAt = clinux_now() + Self.interval
    let line = text()
    let padding = String(repeating: " ", count: max(0, width - line.utf8.count))
    width = line.utf8.count
    write("\r\(line)\(padding)")
  }

  /// Takes the line away.
  mutating func clear() {
    guard isShown, width > 0 else { return }
    write("\r\(String(repeating: " ", count: width))\r")
    width = 0
  }

  private func write(_ text: String) {
    let bytes = Array(text.utf8)
    // Sound: the array lives until the call returns; a terminal that does not take it is no failure.
    _ = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
  }
}
