/// What a device looks like on the bus: who it is, what it decodes, how it interrupts.
///
/// Everything is a value. The layout (where the capabilities go, where the MSI-X table is) is computed
/// and checked when the server is made; what does not fit together is a ``ValidationError`` then.
public struct PCIDescription: Sendable {
  /// Who it is.
  public var identity: PCIIdentity
  /// Base address registers, by number 0 to 5.
  public var bars: [Int: BaseAddressRegister]
  /// Whether the device has an interrupt pin (INTA#).
  public var hasInterruptPin: Bool
  /// What is in the expansion ROM, at most 16 MiB; its window is the next power of two, filled up with
  /// ones.
  public var expansionROM: [UInt8]?
  /// Capabilities, in the order in which drivers will find them.
  public var capabilities: [PCICapability]
  /// Extended capabilities, in the same way; the first stands at 0x100.
  public var extendedCapabilities: [PCIExtendedCapability]
  /// Regions beyond those that every PCI device has; the first has index 9.
  public var deviceRegions: [DeviceRegion]
  /// Parts of regions that the client's kernel can signal without a message.
  public var ioEventAreas: [IOEventArea]
  /// Whether the device can report errors that it does not recover from (the ERR interrupt).
  public var reportsErrors: Bool
  /// Whether the device can ask to be released (the REQ interrupt).
  public var requestsRelease: Bool
  /// Whether the device reaches memory only while the bus master bit of its command register is set.
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
