/// LID, the log page identifier (NVMe 1.4, figure 191).
public struct LogPage: RawRepresentable, Hashable, Sendable {
  /// The value in dword 10.
  public let rawValue: UInt8
  /// Wraps any number, known or not.
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// Error Information: ``ErrorLogEntry``, most recent first.
  public static let errors = LogPage(rawValue: 0x01)
  /// SMART / Health Information: ``HealthLog``.
  public static let health = LogPage(rawValue: 0x02)
  /// Firmware Slot Information: ``FirmwareSlotLog``.
  public static let firmwareSlots = LogPage(rawValue: 0x03)
  /// Changed Namespace List: a ``NumberList``.
  public static let changedNamespaces = LogPage(rawValue: 0x04)
  /// Commands Supported and Effects: ``CommandEffectsLog``.
  public static let commandEffects = LogPage(rawValue: 0x05)
}

/// An entry of the error log, for one failed command (NVMe 1.4, figure 193).
public struct ErrorLogEntry: ByteStructure {
  /// Size on the wire in bytes.
  public static let wireSize = 64
  /// All bytes of the structure.
  public var bytes = [UInt8](repeating: 0, count: wireSize)

  /// Creates an unused entry, with all bytes zero.
  public init() {}

  /// Number of errors over the lifetime of the controller; 0 for an unused entry.
  public var errorCount: UInt64 {
    get { number(at: 0) }
    set { put(newValue, at: 0) }
  }
  /// The submission queue of the command; all ones if none.
  public var submissionQueue: UInt16 {
    get { number(at: 8) }
    set { put(newValue, at: 8) }
  }
  /// The ID of the command; all ones if none.
  public var commandID: UInt16 {
    get { number(at: 10) }
    set { put(newValue, at: 10) }
  }
  /// The status of the command.
  public var status: Status {
    get { Status(rawValue: number(at: 12, as: UInt16.self) >> 1) }
    set { put(newValue.rawValue << 1 | number(at: 12, as: UInt16.self) & 1, at: 12) }
  }
  /// The phase tag of the completion.
  public var phase: Bool {
    get { bytes[12] & 1 != 0 }
    set { bytes[12] = newValue ? bytes[12] | 1 : bytes[12] & ~1 }
  }
  /// Byte (bits 7:0) and bit (10:8) of the command that caused the error; all ones if none.
  public var parameterLocation: UInt16 {
    get { number(at: 14) }
    set { put(newValue, at: 14) }
  }
  /// The first affected block.
  public var block: UInt64 {
    get { number(at: 16) }
    set { put(newValue, at: 16) }
  }
  /// The namespace ID.
  public var namespaceID: UInt32 {
    get { number(at: 24) }
    set { put(newValue, at: 24) }
  }
}

/// The SMART / Health Information log (NVMe 1.4, figure 194).
///
/// Only the lower 64 bits of the 128-bit counters are accessible.
public struct HealthLog: ByteStructure {
  /// Size on the wire in bytes.
  public static let wireSize = 512
  /// All bytes of the structure.
  public var bytes = [UInt8](repeating: 0, count: wireSize)

  /// Creates a log with all bytes zero.
  public init() {}

  /// Critical warning: bit 0 low spare, 1 temperature, 2 unreliable, 3 read only, 4 backup failed.
  public var criticalWarning: UInt8 {
    get { bytes[0] }
    set { bytes[0] = newValue }
  }
  /// Composite temperature in kelvins.
  public var temperature: UInt16 {
    get { number(at: 1) }
    set { put(newValue, at: 1) }
  }
  /// Available spare in percent.
  public var availableSpare: UInt8 {
    get { bytes[3] }
    set { bytes[3] = newValue }
  }
  /// Available spare threshold in percent.
  public var spareThreshold: UInt8 {
    get { bytes[4] }
    set { bytes[4] = newValue }
  }
  /// Percentage used, of the estimated endurance.
  public var percentageUsed: UInt8 {
    get { bytes[5] }
    set { bytes[5] = newValue }
  }
  /// Data read, in thousands of 512 bytes, rounded up.
  public var dataUnitsRead: UInt64 {
    get { number(at: 32) }
    set { put(newValue, at: 32) }
  }
  /// Data written, in thousands of 512 bytes, rounded up.
  public var dataUnitsWritten: UInt64 {
    get { number(at: 48) }
    set { put(newValue, at: 48) }
  }
  /// Number of Read and Compare commands.
  public var hostReads: UInt64 {
    get { number(at: 64) }
    set { put(newValue, at: 64) }
  }
  /// Number of Write commands.
  public var hostWrites: UInt64 {
    get { number(at: 80) }
    set { put(newValue, at: 80) }
  }
  /// Controller busy time in minutes.
  public var busyTime: UInt64 {
    get { number(at: 96) }
    set { put(newValue, at: 96) }
  }
  /// Number of power cycles.
  public var powerCycles: UInt64 {
    get { number(at: 112) }
    set { put(newValue, at: 112) }
  }
  /// Number of power-on hours.
  public var powerOnHours: UInt64 {
    get { number(at: 128) }
    set { put(newValue, at: 128) }
  }
  /// Number of power losses without a prior shutdown.
  public var unsafeShutdowns: UInt64 {
    get { number(at: 144) }
    set { put(newValue, at: 144) }
  }
  /// Number of unrecovered data integrity errors.
  public var mediaErrors: UInt64 {
    get { number(at: 160) }
    set { put(newValue, at: 160) }
  }
  /// Number of error log entries over the lifetime of the controller.
  public var errorLogEntries: UInt64 {
    get { number(at: 176) }
    set { put(newValue, at: 176) }
  }
}

/// The Firmware Slot Information log (NVMe 1.4, figure 195).
public struct FirmwareSlotLog: ByteStructure {
  /// Size on the wire in bytes.
  public static let wireSize = 512
  /// All bytes of the structure.
  public var bytes = [UInt8](repeating: 0, count: wireSize)

  /// Creates a log with all bytes zero.
  public init() {}

  /// AFI: bits 2:0 the active slot, bits 6:4 the slot to be activated at the next reset.
  public var active: UInt8 {
    get { bytes[0] }
    set { bytes[0] = newValue }
  }

  /// FRS: the firmware revision in a slot.
  ///
  /// - Precondition: the slot is 1 to 7.
  public subscript(slot slot: Int) -> String {
    get {
      precondition(slot >= 1 && slot <= 7, "no such slot: \(slot)")
      return text(at: 8 * slot..<8 * slot + 8)
    }
    set {
      precondition(slot >= 1 && slot <= 7, "no such slot: \(slot)")
      putText(newValue, at: 8 * slot..<8 * slot + 8)
    }
  }
}

/// The Commands Supported and Effects log (NVMe 1.4, figures 199 and 200).
public struct CommandEffectsLog: ByteStructure {
  /// Size on the wire in bytes.
  public static let wireSize = 4096
  /// All bytes of the structure.
  public var bytes = [UInt8](repeating: 0, count: wireSize)

  /// Creates a log in which no command is supported.
  public init() {}

  /// The effects of an admin command.
  public subscript(_ opcode: AdminOpcode) -> CommandEffects {
    get { CommandEffects(rawValue: number(at: 4 * Int(opcode.rawValue))) }
    set { put(newValue.rawValue, at: 4 * Int(opcode.rawValue)) }
  }

  /// The effects of an I/O command.
  public subscript(_ opcode: IOOpcode) -> CommandEffects {
    get { CommandEffects(rawValue: number(at: 1024 + 4 * Int(opcode.rawValue))) }
    set { put(newValue.rawValue, at: 1024 + 4 * Int(opcode.rawValue)) }
  }
}

/// The effects of a command (NVMe 1.4, figure 200).
public struct CommandEffects: OptionSet, Sendable {
  /// The bits.
  public let rawValue: UInt32
  /// Wraps any bits.
  public init(rawValue: UInt32) { self.rawValue = rawValue }
  /// CSUPP: the command is supported.
  public static let supported = CommandEffects(rawValue: 1 << 0)
  /// LBCC: it may change the contents of logical blocks.
  public static let changesData = CommandEffects(rawValue: 1 << 1)
  /// NCC: it may change the capabilities of a namespace.
  public static let changesNamespace = CommandEffects(rawValue: 1 << 2)
  /// NIC: it may change the number of namespaces.
  public static let changesInventory = CommandEffects(rawValue: 1 << 3)
  /// CCC: it may change the capabilities of the controller.
  public static let changesController = CommandEffects(rawValue: 1 << 4)
  /// CSE 1: no other command to the same namespace may be outstanding.
  public static let aloneInNamespace = CommandEffects(rawValue: 1 << 16)
  /// CSE 2: no other command to any namespace may be outstanding.
  public static let alone = CommandEffects(rawValue: 2 << 16)
}
