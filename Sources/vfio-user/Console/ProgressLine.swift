import CLinux
import Glibc

/// The progress of a long command: a line on standard error that is overwritten, only on a
/// terminal.
struct ProgressLine {
  private static let interval: UInt64 = 200_000_000
  private let isShown: Bool
  private var nextAt: UInt64 = 0
  private var width = 0

  /// Creates a progress line.
  ///
  /// - Parameter isWanted: false for no output at all.
  init(_ isWanted: Bool = true) {
    isShown = isWanted && isatty(STDERR_FILENO) == 1
  }

  /// Shows a text, unless the last one was shown less than 0.2 s ago.
  mutating func show(_ text: @autoclosure () -> String) {
    guard isShown, clinux_now() >= nextAt else { return }
    nextAt = clinux_now() + Self.interval
    let line = text()
    let padding = String(repeating: " ", count: max(0, width - line.utf8.count))
    width = line.utf8.count
    write("\r\(line)\(padding)")
  }

  /// Erases the line.
  mutating func clear() {
    guard isShown, width > 0 else { return }
    write("\r\(String(repeating: " ", count: width))\r")
    width = 0
  }

  private func write(_ text: String) {
    let bytes = Array(text.utf8)
    // Sound: the array lives until the call returns. A failed write is ignored.
    _ = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
  }
}
