/// CAP, what the controller can do (NVMe 1.4, figure 69).
public struct ControllerCapabilities: RawRepresentable, Equatable, Sendable {
  /// The register.
  public var rawValue: UInt64

  /// Wraps any bits.
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  private func bits(_ shift: UInt64, _ width: UInt64) -> UInt64 {
    rawValue >> shift & (1 << width - 1)
  }

  private mutating func set(_ value: UInt64, _ shift: UInt64, _ width: UInt64) {
    let mask: UInt64 = (1 << width - 1) << shift
    rawValue = rawValue & ~mask | value << shift & mask
  }

  /// MQES: most entries of an I/O queue, less one.
  public var maximumQueueEntriesZeroBased: UInt16 {
    get { UInt16(truncatingIfNeeded: bits(0, 16)) }
    set { set(UInt64(newValue), 0, 16) }
  }
  /// CQR: whether queues have to be contiguous.
  public var contiguousQueuesRequired: Bool {
    get { bits(16, 1) != 0 }
    set { set(newValue ? 1 : 0, 16, 1) }
  }
  /// AMS: bit 0 weighted round robin, bit 1 the vendor's own arbitration.
  public var arbitrationMechanisms: UInt8 {
    get { UInt8(truncatingIfNeeded: bits(17, 2)) }
    set { set(UInt64(newValue), 17, 2) }
  }
  /// TO: how long enabling and disabling may take, in 500 ms.
  public var timeout: UInt8 {
    get { UInt8(truncatingIfNeeded: bits(24, 8)) }
    set { set(UInt64(newValue), 24, 8) }
  }
  /// DSTRD: doorbells stand 4 << stride bytes apart.
  public var doorbellStride: UInt8 {
    get { UInt8(truncatingIfNeeded: bits(32, 4)) }
    set { set(UInt64(newValue), 32, 4) }
  }
  /// NSSRS: whether the subsystem can be reset.
  public var subsystemResetSupported: Bool {
    get { bits(36, 1) != 0 }
    set { set(newValue ? 1 : 0, 36, 1) }
  }
  /// CSS: bit 0 the NVM command set, bit 7 admin commands only.
  public var commandSets: UInt8 {
    get { UInt8(truncatingIfNeeded: bits(37, 8)) }
    set { set(UInt64(newValue), 37, 8) }
  }
  /// MPSMIN: smallest page size, 4096 << n.
  public var minimumPageSize: UInt8 {
    get { UInt8(truncatingIfNeeded: bits(48, 4)) }
    set { set(UInt64(newValue), 48, 4) }
  }
  /// MPSMAX: largest page size, 4096 << n.
  public var maximumPageSize: UInt8 {
    get { UInt8(truncatingIfNeeded: bits(52, 4)) }
    set { set(UInt64(newValue), 52, 4) }
  }
}

/// VS, the version of the specification (NVMe 1.4, section 3.1.2).
public struct NVMeVersion: RawRepresentable, Equatable, Sendable {
  /// The register.
  public let rawValue: UInt32
  /// Wraps any number.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// NVM Express 1.4.
  public static let v1_4 = NVMeVersion(rawValue: 0x0001_0400)

  /// The number in front of the first dot.
  public var major: UInt16 { UInt16(truncatingIfNeeded: rawValue >> 16) }
  /// The number behind the first dot.
  public var minor: UInt8 { UInt8(truncatingIfNeeded: rawValue >> 8) }
  /// The number behind the second dot.
  public var tertiary: UInt8 { UInt8(truncatingIfNeeded: rawValue) }
}
