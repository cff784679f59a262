internal import NVMeProtocol

/// The newest failures (NVMe 1.4, section 5.14.1.1).
struct ErrorLog {
  /// How many are kept.
  static let entries = 64

  private var kept: [ErrorLogEntry] = []
  private var next = 0

  /// Adds one; `count` goes up and becomes its number.
  mutating func add(_ entry: ErrorLogEntry, count: inout Tally) {
    var entry = entry
    count += 1
    entry.errorCount = count.value
    if kept.count < Self.entries {
      kept.append(entry)
    } else {
      kept[next] = entry
    }
    next = (next + 1) % Self.entries
  }

  /// The entries, the oldest first.
  var all: [ErrorLogEntry] {
    (0..<kept.count).map { kept[(next + $0) % kept.count] }
  }

  /// Takes over the entries of another controller, the oldest first, at most ``entries``.
  mutating func load(_ all: [ErrorLogEntry]) {
    kept = all
    next = all.count % Self.entries
  }

  /// The log page, newest first.
  var page: [UInt8] {
    var bytes: [UInt8] = []
    for index in 0..<kept.count {
      bytes += kept[(next + kept.count - 1 - index) % kept.count].bytes
    }
    bytes += [UInt8](repeating: 0, count: Self.entries * ErrorLogEntry.wireSize - bytes.count)
    return bytes
  }
}
