extension PCIDescription {
  /// What is wrong with a description.
  ///
  /// Found when the server is made, never in front of a guest.
  public enum Flaw: Error, Equatable, Sendable {
    /// There are registers 0 to 5.
    case noSuchBAR(Int)
    /// A 64-bit window takes two registers, and the second is missing or used.
    case noRoomForUpperHalf(bar: Int)
    /// The size is no power of two, or out of bounds for the kind.
    case badSize(bar: Int, size: UInt64, allowed: ClosedRange<UInt64>)
  }

  /// Checks the description.
  func check() throws(Flaw) {
    for (number, bar) in bars {
      guard 0...5 ~= number else { throw .noSuchBAR(number) }
      if case .memory64 = bar.kind, number == 5 || bars[number + 1] != nil {
        throw .noRoomForUpperHalf(bar: number)
      }
      guard bar.kind.sizes.contains(bar.size), bar.size & (bar.size - 1) == 0 else {
        throw .badSize(bar: number, size: bar.size, allowed: bar.kind.sizes)
      }
    }
  }
}

extension BaseAddressRegister.Kind {
  /// Sizes that the register can ask for (PCI 3.0, section 6.2.5.1).
  var sizes: ClosedRange<UInt64> {
    switch self {
    case .io: 4...256
    case .memory32: 16...1 << 31
    case .memory64: 16...1 << 63
    }
  }

  /// The read-only bits at the bottom of the register.
  var typeBits: UInt32 {
    switch self {
    case .io: 0b01
    case .memory32(let prefetchable): prefetchable ? 0b1000 : 0
    case .memory64(let prefetchable): prefetchable ? 0b1100 : 0b0100
    }
  }
}
