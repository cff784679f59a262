import ArgumentParser

extension NamespaceOptions {
  private static let keys = [
    "file", "nbd", "size", "memory", "cache", "nguid", "block-size", "read-only", "raw",
  ]

  /// Parses `{ file = "a.img", size = "10G", block-size = 4096, read-only = true }`.
  init(_ table: ConfigurationTable) throws {
    self.init(file: nil, size: nil, blockSize: nil, readOnly: nil, cache: nil)
    for (key, entry) in table.sorted {
      switch (key, entry.value) {
      case ("block-size", .number(let number)): try set(key, "\(number)")
      case ("read-only", .flag(let isSet)), ("raw", .flag(let isSet)):
        if isSet { try set(key, nil) }
      case ("file", .text(let text)), ("nbd", .text(let text)), ("size", .text(let text)),
        ("memory", .text(let text)),
        ("cache", .text(let text)), ("nguid", .text(let text)):
        try set(key, text)
      default:
        throw ValidationError(
          "\(key) = \(entry.value) is not for a namespace.\(Suggestion.sentence(for: key, among: Self.keys)) It takes file, nbd, size, memory, cache and nguid as texts, block-size as a number, read-only and raw as true or false."
        )
      }
    }
  }
}
