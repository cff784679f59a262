/// A base address register: an address range of the device in I/O or memory space.
public struct BaseAddressRegister: Equatable, Sendable {
  /// The address space, and the width of the register.
  public enum Kind: Equatable, Sendable {
    /// I/O ports; 4 to 256 bytes are usual.
    case io
    /// Memory below 4 GiB.
    case memory32(prefetchable: Bool)
    /// Memory at any 64-bit address; uses this register and the next.
    case memory64(prefetchable: Bool)
  }

  /// The address space, and the width of the register.
  public var kind: Kind
  /// Size in bytes; a power of two, at least 4 (I/O) or 16 (memory).
  public var size: UInt64
  /// What answers accesses: the device, or the framework from memory.
  public var backing: RegionBacking

  /// Describes an address range.
  public init(_ kind: Kind, size: UInt64, backing: RegionBacking = .callbacks) {
    self.kind = kind
    self.size = size
    self.backing = backing
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
