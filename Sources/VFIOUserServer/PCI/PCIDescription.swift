/// The PCI properties of a device: identity, base address registers, capabilities, interrupts.
///
/// The layout (the offsets of the capabilities, the place of the MSI-X table) is computed and checked when
/// the server is made, which throws a ``ValidationError`` if the description is inconsistent.
public struct PCIDescription: Sendable {
  /// The identity: vendor, device, class.
  public var identity: PCIIdentity
  /// Base address registers, by number from 0 to 5.
  public var bars: [Int: BaseAddressRegister]
  /// Whether the device has an interrupt pin (INTA#).
  public var hasInterruptPin: Bool
  /// The contents of the expansion ROM, at most 16 MiB; its BAR has the next power of two as size, and reads
  /// as ones beyond the contents.
  public var expansionROM: [UInt8]?
  /// Capabilities, in the order in which drivers find them.
  public var capabilities: [PCICapability]
  /// Extended capabilities, in the order in which drivers find them; the first is at offset 0x100.
  public var extendedCapabilities: [PCIExtendedCapability]
  /// Regions beyond those that every PCI device has; the first has index 9.
  public var deviceRegions: [DeviceRegion]
  /// Parts of regions in which the client's kernel can signal a write by a descriptor, without a message.
  public var ioEventAreas: [IOEventArea]
  /// Whether the device can report unrecoverable errors (the ERR interrupt).
  public var reportsErrors: Bool
  /// Whether the device can ask to be released (the REQ interrupt).
  public var requestsRelease: Bool
  /// Whether the device may access memory only while the bus master bit of its command register is set.
  ///
  /// PCI requires it (PCI 3.0, 6.2.2). While the bit is clear an access fails with
  /// ``MemoryError/notBusMaster``.
  public var requiresBusMaster: Bool

  /// Describes a device.
  public init(
    identity: PCIIdentity, bars: [Int: BaseAddressRegister] = [:], hasInterruptPin: Bool = false,
    expansionROM: [UInt8]? = nil, capabilities: [PCICapability] = [],
    extendedCapabilities: [PCIExtendedCapability] = [], deviceRegions: [DeviceRegion] = [],
    ioEventAreas: [IOEventArea] = [], reportsErrors: Bool = true, requestsRelease: Bool = true,
    requiresBusMaster: Bool = true
  ) {
    self.identity = identity
    self.bars = bars
    self.hasInterruptPin = hasInterruptPin
    self.expansionROM = expansionROM
    self.capabilities = capabilities
    self.extendedCapabilities = extendedCapabilities
    self.deviceRegions = deviceRegions
    self.ioEventAreas = ioEventAreas
    self.reportsErrors = reportsErrors
    self.requestsRelease = requestsRelease
    self.requiresBusMaster = requiresBusMaster
  }
}
