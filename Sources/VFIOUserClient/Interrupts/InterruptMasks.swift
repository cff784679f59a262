/// The vectors that are masked, as far as the client has said so itself.
struct InterruptMasks {
  private var masked: [InterruptIndex: RangeSet<UInt64>] = [:]

  /// Notes what was done to vectors; triggering masks nothing.
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

  /// Notes what was done to those vectors that are chosen.
  mutating func note(
    _ action: SetInterrupts.Action, _ index: InterruptIndex, start: UInt32, where chosen: [Bool]
  ) {
    for (offset, isChosen) in chosen.enumerated() where isChosen {
      note(action, index, start: start + UInt32(offset), count: 1)
    }
  }

  /// Nothing of an index is masked any more.
  mutating func forget(_ index: InterruptIndex) { masked[index] = nil }

  /// Nothing is masked any more.
  mutating func forgetAll() { masked.removeAll() }

  /// What has to be done to have everything masked as it was.
  ///
  /// - Parameter excluded: whether nobody knows if a vector is masked.
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
