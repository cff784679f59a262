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
  /// Bytes of the vendor's own.
  case vendorSpecific(VendorSpecific)
  /// Any other capability.
  ///
  /// - `id`: its number.
  /// - `body`: what stands behind the two bytes of the header.
  /// - `writable`: the bits of the body that can be written; as long as the body, or shorter.
  case other(id: UInt8, body: [UInt8], writable: [UInt8] = [])
  /// Any other capability, with registers.
  ///
  /// - `id`: its number.
  /// - `size`: bytes, the two of the header included.
  /// - registers: as those of ``VendorSpecific``, from byte 2 on.
  case otherRegisters(id: UInt8, size: Int, [Register])
}

/// Power states D0 and D3hot, and those between if wanted (PCI Power Management 1.2, section 3.2).
public struct PowerManagement: Equatable, Sendable {
  /// Whether there is a state D1.
  public var supportsD1: Bool
  /// Whether there is a state D2.
  public var supportsD2: Bool
  /// Whether the device keeps its state from D3hot to D0 (No_Soft_Reset); if not, that way leads
  /// through a reset.
  public var noSoftReset: Bool

  /// Describes power states.
  public init(supportsD1: Bool = false, supportsD2: Bool = false, noSoftReset: Bool = true) {
    self.supportsD1 = supportsD1
    self.supportsD2 = supportsD2
    self.noSoftReset = noSoftReset
  }
}

/// PCI Express (PCI Express Base 3.0, section 7.8).
public struct Express: Equatable, Sendable {
  /// Where in the hierarchy the device is.
  public enum Port: UInt16, Equatable, Sendable {
    /// A device of its own on a link.
    case endpoint = 0
    /// An endpoint that needs I/O space or locked transactions.
    case legacyEndpoint = 1
    /// Part of the root complex, without a link.
    case rootComplexIntegratedEndpoint = 9
  }

  /// Where in the hierarchy the device is.
  public var port: Port
  /// Whether software can reset the function by Device Control bit 15.
  public var functionLevelReset: Bool

  /// Describes an Express device.
  public init(_ port: Port = .endpoint, functionLevelReset: Bool = true) {
    self.port = port
    self.functionLevelReset = functionLevelReset
  }
}

/// Message signalled interrupts (PCI 3.0, section 6.8.1).
public struct MSI: Equatable, Sendable {
  /// How many there are: 1, 2, 4, 8, 16 or 32.
  public var vectors: Int
  /// Whether each can be masked, with a pending bit.
  public var perVectorMasking: Bool
  /// Whether messages can go above 4 GiB.
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
/// Table and pending bits live in a BAR; accesses to them never reach the device.
public struct MSIX: Equatable, Sendable {
  /// How many there are: 1 to 2048.
  public var vectors: Int
  /// The BAR that they are in; nil for the first that is free.
  ///
  /// A BAR that the description does not list is made, as large as it needs to be.
  public var bar: Int?
  /// Where in the BAR the table starts; a multiple of 8.
  public var tableOffset: UInt64
  /// Where in the BAR the pending bits start; a multiple of 8; nil for right behind the table.
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

/// Bytes of the vendor's own (PCI 3.0, appendix H): constants, or registers with hooks.
///
/// A mailbox, for example, whose answer the device computes when it is read, and which takes only
/// requests that exist:
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
/// What such a register holds the device changes with ``DeviceContext/updateConfiguration(_:_:)``.
public struct VendorSpecific: Sendable {
  /// Bytes, the three of the header included; at most 192, less what other capabilities take.
  public var size: Int { registers.isEmpty ? 3 + bytes.count : registersEnd }
  /// What stands behind the three bytes of the header, as far as it is constants and memory.
  public var bytes: [UInt8]
  /// The bits of the bytes that can be written; as long as the bytes, or shorter.
  public var writable: [UInt8]
  /// What stands there otherwise.
  ///
  /// Offsets count from the beginning of the capability, so the first is 3. Names are the device's choice,
  /// each once among all of its capabilities.
  public var registers: [Register]
  private var registersEnd = 0

  /// Describes constants, and bytes that remember what is written to them.
  public init(_ bytes: [UInt8], writable: [UInt8] = []) {
    self.bytes = bytes
    self.writable = writable
    registers = []
  }

  /// Describes registers; bytes between them are zero.
  public init(size: Int, registers: [Register]) {
    registersEnd = size
    bytes = []
    writable = []
    self.registers = registers
  }
}

/// A capability in configuration space from 0x100 on (PCI Express Base 3.0, section 7.9).
@nonexhaustive
public enum PCIExtendedCapability: Sendable {
  /// The number of this specimen of the device.
  case serialNumber(UInt64)
  /// Bytes of the vendor's own.
  ///
  /// - `id`: the vendor's number for them.
  /// - `revision`: 0 to 15.
  /// - `bytes`: what stands behind the eight bytes of the two headers.
  /// - `writable`: the bits of the bytes that can be written; as long as the bytes, or shorter.
  case vendorSpecific(id: UInt16, revision: UInt8 = 0, bytes: [UInt8], writable: [UInt8] = [])
  /// Registers of the vendor's own.
  ///
  /// - `id`: the vendor's number for them.
  /// - `revision`: 0 to 15.
  /// - `size`: bytes, the eight of the two headers included.
  /// - registers: as those of ``VendorSpecific``, from byte 8 on.
  case vendorSpecificRegisters(id: UInt16, revision: UInt8 = 0, size: Int, [Register])
  /// Any other capability.
  ///
  /// - `id`: its number.
  /// - `version`: 0 to 15.
  /// - `body`: what stands behind the four bytes of the header.
  /// - `writable`: the bits of the body that can be written; as long as the body, or shorter.
  case other(id: UInt16, version: UInt8, body: [UInt8], writable: [UInt8] = [])
  /// Any other capability, with registers.
  ///
  /// - `id`: its number.
  /// - `version`: 0 to 15.
  /// - `size`: bytes, the four of the header included.
  /// - registers: as those of ``VendorSpecific``, from byte 4 on.
  case otherRegisters(id: UInt16, version: UInt8, size: Int, [Register])
}
