/// CAP, the controller capabilities (NVMe 1.4, figure 69).
public struct ControllerCapabilities: RawRepresentable, Equatable, Sendable {
  /// The register value.
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

  /// MQES: maximum number of entries of an I/O queue, zero-based.
  public var maximumQueueEntriesZeroBased: UInt16 {
    get { UInt16(truncatingIfNeeded: bits(0, 16)) }
    set { set(UInt64(newValue), 0, 16) }
  }
  /// CQR: whether queues must be physically contiguous.
  public var contiguousQueuesRequired: Bool {
    get { bits(16, 1) != 0 }
    set { set(newValue ? 1 : 0, 16, 1) }
  }
  /// AMS: bit 0 weighted round robin, bit 1 vendor-specific arbitration.
  public var arbitrationMechanisms: UInt8 {
    get { UInt8(truncatingIfNeeded: bits(17, 2)) }
    set { set(UInt64(newValue), 17, 2) }
  }
  /// TO: maximum time for enabling and disabling, in units of 500 ms.
  public var timeout: UInt8 {
    get { UInt8(truncatingIfNeeded: bits(24, 8)) }
    set { set(UInt64(newValue), 24, 8) }
  }
  /// DSTRD: doorbell stride, 4 << n bytes.
  public var doorbellStride: UInt8 {
    get { UInt8(truncatingIfNeeded: bits(32, 4)) }
    set { set(UInt64(newValue), 32, 4) }
  }
  /// NSSRS: whether NVM subsystem reset is supported.
  public var subsystemResetSupported: Bool {
    get { bits(36, 1) != 0 }
    set { set(newValue ? 1 : 0, 36, 1) }
  }
  /// CSS: bit 0 NVM command set, bit 7 admin commands only.
  public var commandSets: UInt8 {
    get { UInt8(truncatingIfNeeded: bits(37, 8)) }
    set { set(UInt64(newValue), 37, 8) }
  }
  /// MPSMIN: minimum page size, 4096 << n bytes.
  public var minimumPageSize: UInt8 {
    get { UInt8(truncatingIfNeeded: bits(48, 4)) }
    set { set(UInt64(newValue), 48, 4) }
  }
  /// MPSMAX: maximum page size, 4096 << n bytes.
  public var maximumPageSize: UInt8 {
    get { UInt8(truncatingIfNeeded: bits(52, 4)) }
    set { set(UInt64(newValue), 52, 4) }
  }
}

/// VS, the supported version of the specification (NVMe 1.4, section 3.1.2).
public struct NVMeVersion: RawRepresentable, Equatable, Sendable {
  /// The register value.
  public let rawValue: UInt32
  /// Wraps any value.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// NVM Express 1.4.
  public static let v1_4 = NVMeVersion(rawValue: 0x0001_0400)

  /// MJR: the major version.
  public var major: UInt16 { UInt16(truncatingIfNeeded: rawValue >> 16) }
  /// MNR: the minor version.
  public var minor: UInt8 { UInt8(truncatingIfNeeded: rawValue >> 8) }
  /// TER: the tertiary version.
  public var tertiary: UInt8 { UInt8(truncatingIfNeeded: rawValue) }
}
