/// The Identify Namespace data structure (NVMe 1.4, figure 245).
public struct IdentifyNamespace: ByteStructure {
  /// Size on the wire in bytes.
  public static let wireSize = 4096
  /// Maximum number of LBA formats.
  public static let maxFormats = 16
  /// All bytes of the structure.
  public var bytes = [UInt8](repeating: 0, count: wireSize)

  /// Creates a structure with all bytes zero.
  public init() {}

  /// NSZE: size in blocks.
  public var size: UInt64 {
    get { number(at: 0) }
    set { put(newValue, at: 0) }
  }
  /// NCAP: maximum number of blocks that can be allocated.
  public var capacity: UInt64 {
    get { number(at: 8) }
    set { put(newValue, at: 8) }
  }
  /// NUSE: number of blocks allocated.
  public var utilization: UInt64 {
    get { number(at: 16) }
    set { put(newValue, at: 16) }
  }
  /// NSFEAT.
  public var features: NamespaceFeatures {
    get { NamespaceFeatures(rawValue: bytes[24]) }
    set { bytes[24] = newValue.rawValue }
  }
  /// NLBAF: number of LBA formats, zero-based.
  public var formatsZeroBased: UInt8 {
    get { bytes[25] }
    set { bytes[25] = newValue }
  }
  /// FLBAS: index of the LBA format in use, bits 3:0.
  public var formattedAs: UInt8 {
    get { bytes[26] }
    set { bytes[26] = newValue }
  }
  /// NMIC: bit 0 if several controllers may attach the namespace.
  public var multipath: UInt8 {
    get { bytes[30] }
    set { bytes[30] = newValue }
  }
  /// DLFEAT: bits 2:0 contents of deallocated blocks (1: zeros), bit 3 Write Zeroes can deallocate.
  public var deallocation: UInt8 {
    get { bytes[33] }
    set { bytes[33] = newValue }
  }
  /// NVMCAP: capacity in bytes, the lower 64 bits.
  public var totalCapacity: UInt64 {
    get { number(at: 48) }
    set { put(newValue, at: 48) }
  }
  /// NPWG: preferred write granularity in blocks, zero-based.
  public var preferredWriteGranularityZeroBased: UInt16 {
    get { number(at: 64) }
    set { put(newValue, at: 64) }
  }
  /// NPWA: preferred write alignment in blocks, zero-based.
  public var preferredWriteAlignmentZeroBased: UInt16 {
    get { number(at: 66) }
    set { put(newValue, at: 66) }
  }
  /// NPDG: preferred deallocate granularity in blocks, zero-based.
  public var preferredDeallocateGranularityZeroBased: UInt16 {
    get { number(at: 68) }
    set { put(newValue, at: 68) }
  }
  /// NPDA: preferred deallocate alignment in blocks, zero-based.
  public var preferredDeallocateAlignmentZeroBased: UInt16 {
    get { number(at: 70) }
    set { put(newValue, at: 70) }
  }
  /// NOWS: optimal write size in blocks, zero-based; a multiple of the preferred granularity.
  public var optimalWriteSizeZeroBased: UInt16 {
    get { number(at: 72) }
    set { put(newValue, at: 72) }
  }
  /// NSATTR: bit 0 if the namespace is write protected.
  public var isWriteProtected: Bool {
    get { bytes[99] & 1 != 0 }
    set { bytes[99] = newValue ? bytes[99] | 1 : bytes[99] & ~1 }
  }
  /// NGUID, 16 bytes.
  public var globallyUniqueID: [UInt8] {
    get { Array(bytes[104..<120]) }
    set { for (index, byte) in newValue.prefix(16).enumerated() { bytes[104 + index] = byte } }
  }
  /// EUI64, 8 bytes.
  public var extendedUniqueID: [UInt8] {
    get { Array(bytes[120..<128]) }
    set { for (index, byte) in newValue.prefix(8).enumerated() { bytes[120 + index] = byte } }
  }

  /// LBAF: an LBA format by index.
  ///
  /// - Precondition: the index is 0 to 15, below ``maxFormats``.
  public subscript(format index: Int) -> LBAFormat {
    get {
      precondition(index >= 0 && index < Self.maxFormats, "no such format: \(index)")
      return LBAFormat(rawValue: number(at: 128 + 4 * index))
    }
    set {
      precondition(index >= 0 && index < Self.maxFormats, "no such format: \(index)")
      put(newValue.rawValue, at: 128 + 4 * index)
    }
  }

  /// The LBA format in use.
  public var format: LBAFormat { self[format: Int(formattedAs & 0xF)] }
}

/// NSFEAT (NVMe 1.4, figure 245, byte 24).
public struct NamespaceFeatures: OptionSet, Sendable {
  /// The bits.
  public let rawValue: UInt8
  /// Wraps any bits.
  public init(rawValue: UInt8) { self.rawValue = rawValue }
  /// Thin provisioning.
  public static let thin = NamespaceFeatures(rawValue: 1 << 0)
  /// The Deallocated or Unwritten Logical Block error is supported.
  public static let deallocatedError = NamespaceFeatures(rawValue: 1 << 2)
  /// NPWG, NPWA, NPDG, NPDA and NOWS are defined.
  public static let optimalPerformance = NamespaceFeatures(rawValue: 1 << 4)
}

/// An LBA format (NVMe 1.4, figure 246).
public struct LBAFormat: RawRepresentable, Equatable, Sendable {
  /// The four bytes.
  public let rawValue: UInt32
  /// Wraps any bits.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Creates a format with blocks of 2^`shift` bytes and no metadata.
  public init(dataShift shift: UInt8, relativePerformance: UInt8 = 0) {
    rawValue = UInt32(shift) << 16 | UInt32(relativePerformance & 3) << 24
  }

  /// LBADS: block size, 2^n bytes.
  public var dataShift: UInt8 { UInt8(truncatingIfNeeded: rawValue >> 16) }
  /// MS: metadata size in bytes.
  public var metadataSize: UInt16 { UInt16(truncatingIfNeeded: rawValue) }
  /// RP: relative performance, from 0 (best) to 3 (degraded).
  public var relativePerformance: UInt8 { UInt8(truncatingIfNeeded: rawValue >> 24) & 3 }
}
