internal import CLinux
internal import LinuxPrimitives

/// A ring that the program before this one has left: its name says where its parts are.
struct KeptRing {
  let layout: clinux_ring_layout
  private let name: String

  /// Nil when there is none with this name.
  init?(_ name: String) {
    let prefix = Self.prefix(name)
    guard let whole = KeptDescriptor.name(withPrefix: prefix) else { return nil }
    let numbers = whole.dropFirst(prefix.count).split(separator: ".").compactMap { UInt32($0) }
    guard numbers.count == 10 else { return nil }
    self.name = whole
    layout = clinux_ring_layout(
      numbers: (
        numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5], numbers[6],
        numbers[7], numbers[8], numbers[9]
      ))
  }

  /// The descriptor; -1 if somebody has taken it.
  func take() -> Int32 { KeptDescriptor.take(name)?.release() ?? -1 }

  /// The name of a ring.
  static func text(_ name: String, _ layout: clinux_ring_layout) -> String {
    let numbers = layout.numbers
    let all = [
      numbers.0, numbers.1, numbers.2, numbers.3, numbers.4, numbers.5, numbers.6, numbers.7,
      numbers.8, numbers.9,
    ]
    return prefix(name) + all.map { "\($0)" }.joined(separator: ".")
  }

  private static func prefix(_ name: String) -> String { "ring of \(name): " }
}
