/// The Identify Controller data structure (NVMe 1.4, figure 247).
public struct IdentifyController: ByteStructure {
  /// Size on the wire in bytes.
  public static let wireSize = 4096
  /// All bytes of the structure.
  public var bytes = [UInt8](repeating: 0, count: wireSize)

  /// Creates a structure with all bytes zero.
  public init() {}

  /// VID.
  public var vendor: UInt16 {
    get { number(at: 0) }
    set { put(newValue, at: 0) }
  }
  /// SSVID.
  public var subsystemVendor: UInt16 {
    get { number(at: 2) }
    set { put(newValue, at: 2) }
  }
  /// SN, 20 characters of ASCII.
  public var serialNumber: String {
    get { text(at: 4..<24) }
    set { putText(newValue, at: 4..<24) }
  }
  /// MN, 40 characters of ASCII.
  public var modelNumber: String {
    get { text(at: 24..<64) }
    set { putText(newValue, at: 24..<64) }
  }
  /// FR, 8 characters of ASCII.
  public var firmwareRevision: String {
    get { text(at: 64..<72) }
    set { putText(newValue, at: 64..<72) }
  }
  /// RAB: recommended arbitration burst, 2^n commands.
  public var arbitrationBurst: UInt8 {
    get { bytes[72] }
    set { bytes[72] = newValue }
  }
  /// CMIC: multi-path I/O and namespace sharing (several ports, several controllers).
  public var multipath: UInt8 {
    get { bytes[76] }
    set { bytes[76] = newValue }
  }
  /// MDTS: maximum data transfer size, 2^n times the minimum page size; 0 for no limit.
  public var maximumTransfer: UInt8 {
    get { bytes[77] }
    set { bytes[77] = newValue }
  }
  /// CNTLID.
  public var controllerID: UInt16 {
    get { number(at: 78) }
    set { put(newValue, at: 78) }
  }
  /// VER.
  public var version: NVMeVersion {
    get { NVMeVersion(rawValue: number(at: 80)) }
    set { put(newValue.rawValue, at: 80) }
  }
  /// RTD3E: maximum duration of a shutdown in microseconds; Linux waits that long, or 5 s if it is
  /// 0.
  public var shutdownLatency: UInt32 {
    get { number(at: 88) }
    set { put(newValue, at: 88) }
  }
  /// OAES: supported asynchronous events; see ``EventConfiguration``.
  public var optionalEvents: UInt32 {
    get { number(at: 92) }
    set { put(newValue, at: 92) }
  }
  /// CTRATT.
  public var attributes: UInt32 {
    get { number(at: 96) }
    set { put(newValue, at: 96) }
  }
  /// CNTRLTYPE: 1 for an I/O controller.
  public var controllerType: UInt8 {
    get { bytes[111] }
    set { bytes[111] = newValue }
  }
  /// ACL: maximum number of concurrent Abort commands, zero-based.
  public var abortLimitZeroBased: UInt8 {
    get { bytes[258] }
    set { bytes[258] = newValue }
  }
  /// AERL: maximum number of outstanding Asynchronous Event Requests, zero-based.
  public var eventRequestLimitZeroBased: UInt8 {
    get { bytes[259] }
    set { bytes[259] = newValue }
  }
  /// FRMW: number of firmware slots in bits 3:1; bit 0 if the first slot is read only.
  public var firmwareUpdates: UInt8 {
    get { bytes[260] }
    set { bytes[260] = newValue }
  }
  /// ELPE: number of entries of the error log, zero-based.
  public var errorLogEntriesZeroBased: UInt8 {
    get { bytes[262] }
    set { bytes[262] = newValue }
  }
  /// NPSS: number of power states, zero-based.
  public var powerStatesZeroBased: UInt8 {
    get { bytes[263] }
    set { bytes[263] = newValue }
  }
  /// WCTEMP: warning temperature threshold in kelvins.
  public var warningTemperature: UInt16 {
    get { number(at: 266) }
    set { put(newValue, at: 266) }
  }
  /// CCTEMP: critical temperature threshold in kelvins.
  public var criticalTemperature: UInt16 {
    get { number(at: 268) }
    set { put(newValue, at: 268) }
  }
  /// TNVMCAP: total capacity in bytes, the lower 64 bits.
  public var totalCapacity: UInt64 {
    get { number(at: 280) }
    set { put(newValue, at: 280) }
  }
  /// SQES: required (bits 3:0) and maximum (7:4) size of a submission entry, 2^n bytes.
  public var submissionEntrySizes: UInt8 {
    get { bytes[512] }
    set { bytes[512] = newValue }
  }
  /// CQES: required (bits 3:0) and maximum (7:4) size of a completion entry, 2^n bytes.
  public var completionEntrySizes: UInt8 {
    get { bytes[513] }
    set { bytes[513] = newValue }
  }
  /// NN: highest namespace ID.
  public var namespaceCount: UInt32 {
    get { number(at: 516) }
    set { put(newValue, at: 516) }
  }
  /// FNA: bit 0 format applies to all namespaces, bit 1 secure erase too, bit 2 cryptographic erase
  /// supported.
  public var formatAttributes: UInt8 {
    get { bytes[524] }
    set { bytes[524] = newValue }
  }
  /// VWC: bit 0 volatile write cache present; bits 2:1 Flush of all namespaces (3: supported, 2:
  /// not).
  public var volatileWriteCache: UInt8 {
    get { bytes[525] }
    set { bytes[525] = newValue }
  }
  /// AWUN: number of blocks written atomically, zero-based.
  public var atomicWriteZeroBased: UInt16 {
    get { number(at: 526) }
    set { put(newValue, at: 526) }
  }
  /// AWUPF: number of blocks written atomically even on power failure, zero-based.
  public var atomicWritePowerFailZeroBased: UInt16 {
    get { number(at: 528) }
    set { put(newValue, at: 528) }
  }
  /// SGLS: bits 1:0 SGL support (1: any alignment), bit 16 bit buckets, bit 18 SGLs longer than the
  /// data.
  public var sglSupport: UInt32 {
    get { number(at: 536) }
    set { put(newValue, at: 536) }
  }
  /// SUBNQN, at most 223 bytes.
  public var subsystemName: String {
    get { text(at: 768..<1024, padding: 0) }
    set { putText(newValue, at: 768..<1024, padding: 0) }
  }
  /// MP of power state 0, in hundredths of a watt.
  public var maximumPower: UInt16 {
    get { number(at: 2048) }
    set { put(newValue, at: 2048) }
  }
}

extension IdentifyController {
  /// OACS: supported optional admin commands.
  public var adminCommands: OptionalAdminCommands {
    get { OptionalAdminCommands(rawValue: number(at: 256)) }
    set { put(newValue.rawValue, at: 256) }
  }
  /// ONCS: supported optional I/O commands and features.
  public var ioCommands: OptionalIOCommands {
    get { OptionalIOCommands(rawValue: number(at: 520)) }
    set { put(newValue.rawValue, at: 520) }
  }
  /// LPA: log page attributes.
  public var logPages: LogPageAttributes {
    get { LogPageAttributes(rawValue: bytes[261]) }
    set { bytes[261] = newValue.rawValue }
  }
}

/// OACS (NVMe 1.4, figure 247, bytes 257:256).
public struct OptionalAdminCommands: OptionSet, Sendable {
  /// The bits.
  public let rawValue: UInt16
  /// Wraps any bits.
  public init(rawValue: UInt16) { self.rawValue = rawValue }
  /// Security Send and Receive.
  public static let security = OptionalAdminCommands(rawValue: 1 << 0)
  /// Format NVM.
  public static let format = OptionalAdminCommands(rawValue: 1 << 1)
  /// Firmware Commit and Image Download.
  public static let firmware = OptionalAdminCommands(rawValue: 1 << 2)
  /// Namespace Management and Attachment.
  public static let namespaceManagement = OptionalAdminCommands(rawValue: 1 << 3)
  /// Device Self-test.
  public static let selfTest = OptionalAdminCommands(rawValue: 1 << 4)
  /// Doorbell Buffer Config.
  public static let doorbellBuffer = OptionalAdminCommands(rawValue: 1 << 8)
}

/// ONCS (NVMe 1.4, figure 247, bytes 521:520).
public struct OptionalIOCommands: OptionSet, Sendable {
  /// The bits.
  public let rawValue: UInt16
  /// Wraps any bits.
  public init(rawValue: UInt16) { self.rawValue = rawValue }
  /// Compare.
  public static let compare = OptionalIOCommands(rawValue: 1 << 0)
  /// Write Uncorrectable.
  public static let writeUncorrectable = OptionalIOCommands(rawValue: 1 << 1)
  /// Dataset Management.
  public static let datasetManagement = OptionalIOCommands(rawValue: 1 << 2)
  /// Write Zeroes.
  public static let writeZeroes = OptionalIOCommands(rawValue: 1 << 3)
  /// The Save and Select fields of features.
  public static let saveAndSelect = OptionalIOCommands(rawValue: 1 << 4)
  /// Reservations.
  public static let reservations = OptionalIOCommands(rawValue: 1 << 5)
  /// The Timestamp feature.
  public static let timestamp = OptionalIOCommands(rawValue: 1 << 6)
  /// Verify.
  public static let verify = OptionalIOCommands(rawValue: 1 << 7)
}

/// LPA (NVMe 1.4, figure 247, byte 261).
public struct LogPageAttributes: OptionSet, Sendable {
  /// The bits.
  public let rawValue: UInt8
  /// Wraps any bits.
  public init(rawValue: UInt8) { self.rawValue = rawValue }
  /// SMART / Health Information log per namespace.
  public static let healthPerNamespace = LogPageAttributes(rawValue: 1 << 0)
  /// Commands Supported and Effects log.
  public static let commandEffects = LogPageAttributes(rawValue: 1 << 1)
  /// Extended data for Get Log Page: 32-bit lengths, and offsets.
  public static let extendedData = LogPageAttributes(rawValue: 1 << 2)
}
