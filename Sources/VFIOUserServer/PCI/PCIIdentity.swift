/// The numbers by which drivers recognise a device (PCI Local Bus Specification 3.0, section 6.2.1).
public struct PCIIdentity: Equatable, Sendable {
  /// Offset 0x00.
  public var vendor: UInt16
  /// Offset 0x02.
  public var device: UInt16
  /// Offset 0x08.
  public var revision: UInt8
  /// Offset 0x09.
  public var classCode: PCIClass
  /// Offset 0x2C.
  public var subsystemVendor: UInt16
  /// Offset 0x2E.
  public var subsystem: UInt16

  /// Makes an identity; the subsystem numbers default to vendor and device.
  public init(
    vendor: UInt16, device: UInt16, revision: UInt8 = 0, classCode: PCIClass,
    subsystemVendor: UInt16? = nil, subsystem: UInt16? = nil
  ) {
    self.vendor = vendor
    self.device = device
    self.revision = revision
    self.classCode = classCode
    self.subsystemVendor = subsystemVendor ?? vendor
    self.subsystem = subsystem ?? device
  }
}

/// The class code, three bytes.
public struct PCIClass: Equatable, Sendable {
  /// Offset 0x0B.
  public var base: UInt8
  /// Offset 0x0A.
  public var sub: UInt8
  /// Offset 0x09.
  public var programmingInterface: UInt8

  /// Makes a class code.
  public init(base: UInt8, sub: UInt8, programmingInterface: UInt8) {
    self.base = base
    self.sub = sub
    self.programmingInterface = programmingInterface
  }
}
