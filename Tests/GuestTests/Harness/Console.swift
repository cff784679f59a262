import TestSupport
import VFIOUserTransport

/// The guest's console, line by line.
///
/// Firmware and kernel write to it as well as our scripts, so whoever looks for something looks at
/// whole lines.
final class Console {
  private let channel: ByteChannel
  private var pending: [UInt8] = []
  /// All lines so far.
  private(set) var transcript: [String] = []

  init(_ channel: ByteChannel) {
    self.channel = channel
  }

  func send(_ text: String) throws { try channel.send(Array(text.utf8)) }

  /// Collects lines until one begins with `mark`.
  ///
  /// - Returns: the lines before it, and the rest of the one with the mark.
  func lines(
    until mark: String, within timeout: Duration
  ) throws -> (before: [String], rest: String) {
    let deadline = Deadline.after(timeout)
    var before: [String] = []
    while let line = try nextLine(before: deadline) {
      if line.hasPrefix(mark) { return (before, String(line.dropFirst(mark.count))) }
      before.append(line)
    }
    transcript.append(String(decoding: pending, as: UTF8.self))
    throw HarnessError("no \"\(mark)\" within \(timeout), or end of stream")
  }

  /// The next line without its end, nil when the deadline or the end of the guest comes first.
  func nextLine(before deadline: Deadline) throws -> String? {
    while true {
      if let end = pending.firstIndex(of: UInt8(ascii: "\n")) {
        var line = pending[..<end]
        if line.last == UInt8(ascii: "\r") { line = line.dropLast() }
        let text = String(decoding: line, as: UTF8.self)
        pending.removeSubrange(...end)
        transcript.append(text)
        return text
      }
      guard let more = try channel.receiveSome(before: deadline) else { return nil }
      pending += more
    }
  }
}
