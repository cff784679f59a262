import ArgumentParser

/// Interrupt vectors as users list them: 0, 0-7, 0-3,9.
struct VectorSet: Equatable {
  /// MSI-X has at most so many (PCI 3.0, section 6.8.2).
  static let most = 2048
  /// In order, without repetition.
  let numbers: [Int]

  init(_ numbers: some Sequence<Int>) { self.numbers = Set(numbers).sorted() }

  /// Parses a list.
  ///
  /// - Throws: `ValidationError` with the accepted notation.
  init(text: String) throws {
    let ranges = text.split(separator: ",", omittingEmptySubsequences: false).map(Self.range)
    let known = ranges.compactMap { $0 }
    guard known.count == ranges.count else {
      throw ValidationError(
        "'\(text)' is no list of vectors. Write numbers below \(Self.most) and ranges: 0, 0-7, 0-3,9."
      )
    }
    self.init(known.joined())
  }

  private static func range(_ text: Substring) -> ClosedRange<Int>? {
    let ends = text.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
    guard 1...2 ~= ends.count, let first = ends[0], let last = ends[ends.count - 1],
      first >= 0, first <= last, last < most
    else { return nil }
    return first...last
  }
}
