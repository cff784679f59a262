/// A capability in the first 256 bytes of configuration space (PCI 3.0, section 6.7).
@nonexhaustive
public enum PCICapability: Sendable {
  /// Power states.
  case powerManagement(PowerManagement)
  /// The device is on PCI Express; configuration space has 4096 bytes.
  case express(Express)
  /// Message signalled interrupts.
  case msi(MSI)
  /// Message signalled interrupts with a table.
  case msix(MSIX)
  /// The vendor-specific capability.
  case vendorSpecific(VendorSpecific)
  /// Any other capability.
  ///
  /// - `id`: the capability ID.
  /// - `body`: the bytes after the two of the header.
  /// - `writable`: a mask of the bits of the body that software can write; as long as the body, or shorter.
  case other(id: UInt8, body: [UInt8], writable: [UInt8] = [])
  /// Any other capability, with registers.
  ///
  /// - `id`: the capability ID.
  /// - `size`: number of bytes, including the two of the header.
  /// - registers: as in ``VendorSpecific``, from offset 2.
  case otherRegisters(id: UInt8, size: Int, [Register])
}

/// The power management capability: D0 and D3hot, optionally D1 and D2 (PCI Power Management 1.2, section
/// 3.2).
public struct PowerManagement: Equatable, Sendable {
  /// Whether D1 is supported.
  public var supportsD1: Bool
  /// Whether D2 is supported.
  public var supportsD2: Bool
  /// Whether the device keeps its state in the transition from D3hot to D0 (No_Soft_Reset); if not, that
  /// transition resets it.
  public var noSoftReset: Bool

  /// Describes power states.
  public init(supportsD1: Bool = false, supportsD2: Bool = false, noSoftReset: Bool = true) {
    self.supportsD1 = supportsD1
    self.supportsD2 = supportsD2
    self.noSoftReset = noSoftReset
  }
}

/// The PCI Express capability (PCI Express Base 3.0, section 7.8).
public struct Express: Equatable, Sendable {
  /// The device/port type.
  public enum Port: UInt16, Equatable, Sendable {
    /// A device on a link.
    case endpoint = 0
    /// An endpoint that needs I/O space or locked transactions.
    case legacyEndpoint = 1
    /// An endpoint in the root complex, without a link.
    case rootComplexIntegratedEndpoint = 9
  }

  /// The device/port type.
  public var port: Port
  /// Whether software can reset the function (FLR, Device Control bit 15).
  public var functionLevelReset: Bool

  /// Describes an Express device.
  public init(_ port: Port = .endpoint, functionLevelReset: Bool = true) {
    self.port = port
    self.functionLevelReset = functionLevelReset
  }
}

/// Message signalled interrupts (PCI 3.0, section 6.8.1).
public struct MSI: Equatable, Sendable {
  /// Number of vectors: 1, 2, 4, 8, 16 or 32.
  public var vectors: Int
  /// Whether each vector has a mask bit and a pending bit.
  public var perVectorMasking: Bool
  /// Whether the message address has 64 bits.
  public var is64Bit: Bool

  /// Describes the vectors.
  public init(vectors: Int = 1, perVectorMasking: Bool = false, is64Bit: Bool = true) {
    self.vectors = vectors
    self.perVectorMasking = perVectorMasking
    self.is64Bit = is64Bit
  }
}

/// Message signalled interrupts with a table (PCI 3.0, section 6.8.2).
///
/// The table and the pending bits are in a BAR; the framework answers accesses to them.
public struct MSIX: Equatable, Sendable {
  /// Number of vectors: 1 to 2048.
  public var vectors: Int
  /// The BAR of table and pending bits; nil for the first free one.
  ///
  /// If the description does not list that BAR, it is added, with the size that is needed.
  public var bar: Int?
  /// Offset of the table in the BAR; a multiple of 8.
  public var tableOffset: UInt64
  /// Offset of the pending bits in the BAR, a multiple of 8; nil for directly after the table.
  public var pendingOffset: UInt64?

  /// Describes the vectors.
  public init(
    vectors: Int, bar: Int? = nil, tableOffset: UInt64 = 0, pendingOffset: UInt64? = nil
  ) {
    self.vectors = vectors
    self.bar = bar
    self.tableOffset = tableOffset
    self.pendingOffset = pendingOffset
  }
}

/// The vendor-specific capability (PCI 3.0, appendix H): constants, or registers with hooks.
///
/// This example is a mailbox: the device computes `progress` when it is read, and `request` accepts known
/// requests only:
///
/// ```swift
/// .vendorSpecific(
///   VendorSpecific(
///     size: 12,
///     registers: [
///       Register(
///         "request", at: 4, .bits16, writable: 0xFFFF,
///         restrict: { $0.value < 8 ? $0.value : $0.previous }, onWrite: { mailbox.begin($0.value) }),
///       Register("progress", at: 6, .bits16, onRead: { _ in mailbox.progress }),
///       Register("answer", at: 8, .bits32),
///     ]))
/// ```
///
/// The device changes the value of such a register with ``DeviceContext/updateConfiguration(_:_:)``.
public struct VendorSpecific: Sendable {
  /// Size in bytes, including the three of the header; at most 192 for all capabilities together.
  public var size: Int { registers.isEmpty ? 3 + bytes.count : registersEnd }
  /// The bytes after the three of the header, if the capability has no registers.
  public var bytes: [UInt8]
  /// A mask of the bits of the bytes that software can write; as long as the bytes, or shorter.
  public var writable: [UInt8]
  /// The registers, if the capability has any.
  ///
  /// Offsets count from the start of the capability, so the lowest is 3. Names must be unique among all
  /// capabilities of the device.
  public var registers: [Register]
  private var registersEnd = 0

  /// Describes constants and writable bytes.
  public init(_ bytes: [UInt8], writable: [UInt8] = []) {
    self.bytes = bytes
    self.writable = writable
    registers = []
  }

  /// Describes registers; bytes between them read as zero.
  public init(size: Int, registers: [Register]) {
    registersEnd = size
    bytes = []
    writable = []
    self.registers = registers
  }
}

/// A capability in extended configuration space, from 0x100 (PCI Express Base 3.0, section 7.9).
@nonexhaustive
public enum PCIExtendedCapability: Sendable {
  /// The device serial number.
  case serialNumber(UInt64)
  /// The vendor-specific capability.
  ///
  /// - `id`: the vendor's ID of the capability.
  /// - `revision`: 0 to 15.
  /// - `bytes`: the bytes after the eight of the two headers.
  /// - `writable`: a mask of the bits of the bytes that software can write; as long as the bytes, or shorter.
  case vendorSpecific(id: UInt16, revision: UInt8 = 0, bytes: [UInt8], writable: [UInt8] = [])
  /// A vendor-specific capability with registers.
  ///
  /// - `id`: the vendor's ID of the capability.
  /// - `revision`: 0 to 15.
  /// - `size`: number of bytes, including the eight of the two headers.
  /// - registers: as in ``VendorSpecific``, from offset 8.
  case vendorSpecificRegisters(id: UInt16, revision: UInt8 = 0, size: Int, [Register])
  /// Any other capability.
  ///
  /// - `id`: the capability ID.
  /// - `version`: 0 to 15.
  /// - `body`: the bytes after the four of the header.
  /// - `writable`: a mask of the bits of the body that software can write; as long as the body, or shorter.
  case other(id: UInt16, version: UInt8, body: [UInt8], writable: [UInt8] = [])
  /// Any other capability, with registers.
  ///
  /// - `id`: the capability ID.
  /// - `version`: 0 to 15.
  /// - `size`: number of bytes, including the four of the header.
  /// - registers: as in ``VendorSpecific``, from offset 4.
  case otherRegisters(id: UInt16, version: UInt8, size: Int, [Register])
}
