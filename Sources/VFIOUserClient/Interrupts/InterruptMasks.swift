/// The vectors that this client has masked.
struct InterruptMasks {
  private var masked: [InterruptIndex: RangeSet<UInt64>] = [:]

  /// Records the masking or unmasking of vectors.
  mutating func note(
    _ action: SetInterrupts.Action, _ index: InterruptIndex, start: UInt32, count: UInt32
  ) {
    let vectors = UInt64(start)..<UInt64(start) + UInt64(count)
    switch action {
    case .mask: masked[index, default: RangeSet()].insert(contentsOf: vectors)
    case .unmask: masked[index]?.remove(contentsOf: vectors)
    case .trigger: break
    }
  }

  /// Records the masking or unmasking of the vectors whose boolean is true.
  mutating func note(
    _ action: SetInterrupts.Action, _ index: InterruptIndex, start: UInt32, where chosen: [Bool]
  ) {
    for (offset, isChosen) in chosen.enumerated() where isChosen {
      note(action, index, start: start + UInt32(offset), count: 1)
    }
  }

  /// Removes the masks of an index.
  mutating func forget(_ index: InterruptIndex) { masked[index] = nil }

  /// Removes all masks.
  mutating func forgetAll() { masked.removeAll() }

  /// The requests that restore the masks.
  ///
  /// - Parameter excluded: vectors whose mask state is unknown, because an eventfd may have unmasked them.
  func requests(without excluded: [InterruptIndex: [UInt32]]) -> [SetInterrupts] {
    masked.sorted { $0.key.rawValue < $1.key.rawValue }.flatMap { index, vectors in
      var vectors = vectors
      for vector in excluded[index] ?? [] {
        vectors.remove(contentsOf: UInt64(vector)..<UInt64(vector) + 1)
      }
      return vectors.ranges.map { range in
        SetInterrupts(
          data: .none, action: .mask, index: index,
          start: UInt32(truncatingIfNeeded: range.lowerBound),
          count: UInt32(truncatingIfNeeded: range.count))
      }
    }
  }
}
