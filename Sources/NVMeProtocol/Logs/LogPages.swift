/// LID, which log page (NVMe 1.4, figure 191).
public struct LogPage: RawRepresentable, Hashable, Sendable {
  /// The number in dword 10.
  public let rawValue: UInt8
  /// Wraps any number, known or not.
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// ``ErrorLogEntry``, newest first.
  public static let errors = LogPage(rawValue: 0x01)
  /// ``HealthLog``.
  public static let health = LogPage(rawValue: 0x02)
  /// ``FirmwareSlotLog``.
  public static let firmwareSlots = LogPage(rawValue: 0x03)
  /// A ``NumberList`` of namespaces that have changed.
  public static let changedNamespaces = LogPage(rawValue: 0x04)
  /// ``CommandEffectsLog``.
  public static let commandEffects = LogPage(rawValue: 0x05)
}

/// One failed command (NVMe 1.4, figure 193).
public struct ErrorLogEntry: ByteStructure {
  /// Bytes on the wire.
  public static let wireSize = 64
  /// All of them.
  public var bytes = [UInt8](repeating: 0, count: wireSize)

  /// All zeros: no entry.
  public init() {}

  /// Counts errors over the life of the controller; 0 for an entry that is not there.
  public var errorCount: UInt64 {
    get { number(at: 0) }
    set { put(newValue, at: 0) }
  }
  /// The queue of the command; all ones for none.
  public var submissionQueue: UInt16 {
    get { number(at: 8) }
    set { put(newValue, at: 8) }
  }
  /// The command; all ones for none.
  public var commandID: UInt16 {
    get { number(at: 10) }
    set { put(newValue, at: 10) }
  }
  /// How it ended.
  public var status: Status {
    get { Status(rawValue: number(at: 12, as: UInt16.self) >> 1) }
    set { put(newValue.rawValue << 1 | number(at: 12, as: UInt16.self) & 1, at: 12) }
  }
  /// The phase of its completion.
  public var phase: Bool {
    get { bytes[12] & 1 != 0 }
    set { bytes[12] = newValue ? bytes[12] | 1 : bytes[12] & ~1 }
  }
  /// Which byte (bits 7:0) and bit (10:8) of the command is to blame; all ones for none.
  public var parameterLocation: UInt16 {
    get { number(at: 14) }
    set { put(newValue, at: 14) }
  }
  /// The first block that is concerned.
  public var block: UInt64 {
    get { number(at: 16) }
    set { put(newValue, at: 16) }
  }
  /// The namespace.
  public var namespaceID: UInt32 {
    get { number(at: 24) }
    set { put(newValue, at: 24) }
  }
}

/// Health and counters (NVMe 1.4, figure 194).
///
/// Counters of 128 bits are 64 bits here.
public struct HealthLog: ByteStructure {
  /// Bytes on the wire.
  public static let wireSize = 512
  /// All of them.
  public var bytes = [UInt8](repeating: 0, count: wireSize)

  /// All zeros.
  public init() {}

  /// Bit 0 little spare, 1 temperature, 2 unreliable, 3 read only, 4 backup failed.
  public var criticalWarning: UInt8 {
    get { bytes[0] }
    set { bytes[0] = newValue }
  }
  /// Kelvins.
  public var temperature: UInt16 {
    get { number(at: 1) }
    set { put(newValue, at: 1) }
  }
  /// Per cent.
  public var availableSpare: UInt8 {
    get { bytes[3] }
    set { bytes[3] = newValue }
  }
  /// Per cent.
  public var spareThreshold: UInt8 {
    get { bytes[4] }
    set { bytes[4] = newValue }
  }
  /// Per cent.
  public var percentageUsed: UInt8 {
    get { bytes[5] }
    set { bytes[5] = newValue }
  }
  /// Thousands of 512 bytes, rounded up.
  public var dataUnitsRead: UInt64 {
    get { number(at: 32) }
    set { put(newValue, at: 32) }
  }
  /// Thousands of 512 bytes, rounded up.
  public var dataUnitsWritten: UInt64 {
    get { number(at: 48) }
    set { put(newValue, at: 48) }
  }
  /// Read and Compare commands.
  public var hostReads: UInt64 {
    get { number(at: 64) }
    set { put(newValue, at: 64) }
  }
  /// Write commands.
  public var hostWrites: UInt64 {
    get { number(at: 80) }
    set { put(newValue, at: 80) }
  }
  /// Minutes.
  public var busyTime: UInt64 {
    get { number(at: 96) }
    set { put(newValue, at: 96) }
  }
  /// Times that the power came.
  public var powerCycles: UInt64 {
    get { number(at: 112) }
    set { put(newValue, at: 112) }
  }
  /// Hours.
  public var powerOnHours: UInt64 {
    get { number(at: 128) }
    set { put(newValue, at: 128) }
  }
  /// Times that the power went without a shutdown.
  public var unsafeShutdowns: UInt64 {
    get { number(at: 144) }
    set { put(newValue, at: 144) }
  }
  /// Times that data was lost.
  public var mediaErrors: UInt64 {
    get { number(at: 160) }
    set { put(newValue, at: 160) }
  }
  /// Entries of the error log over the life of the controller.
  public var errorLogEntries: UInt64 {
    get { number(at: 176) }
    set { put(newValue, at: 176) }
  }
}

/// Which firmware there is (NVMe 1.4, figure 195).
public struct FirmwareSlotLog: ByteStructure {
  /// Bytes on the wire.
  public static let wireSize = 512
  /// All of them.
  public var bytes = [UInt8](repeating: 0, count: wireSize)

  /// All zeros.
  public init() {}

  /// AFI: bits 2:0 the slot that runs, 6:4 the one that will after the next reset.
  public var active: UInt8 {
    get { bytes[0] }
    set { bytes[0] = newValue }
  }

  /// FRS: the revision in a slot, 1 to 7.
  ///
  /// - Precondition: there is such a slot.
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

/// Which commands there are and what they touch (NVMe 1.4, figures 199 and 200).
public struct CommandEffectsLog: ByteStructure {
  /// Bytes on the wire.
  public static let wireSize = 4096
  /// All of them.
  public var bytes = [UInt8](repeating: 0, count: wireSize)

  /// No command is supported.
  public init() {}

  /// What an admin command does.
  public subscript(_ opcode: AdminOpcode) -> CommandEffects {
    get { CommandEffects(rawValue: number(at: 4 * Int(opcode.rawValue))) }
    set { put(newValue.rawValue, at: 4 * Int(opcode.rawValue)) }
  }

  /// What an I/O command does.
  public subscript(_ opcode: IOOpcode) -> CommandEffects {
    get { CommandEffects(rawValue: number(at: 1024 + 4 * Int(opcode.rawValue))) }
    set { put(newValue.rawValue, at: 1024 + 4 * Int(opcode.rawValue)) }
  }
}

/// What a command does (NVMe 1.4, figure 200).
public struct CommandEffects: OptionSet, Sendable {
  /// The bits.
  public let rawValue: UInt32
  /// Wraps any bits.
  public init(rawValue: UInt32) { self.rawValue = rawValue }
  /// CSUPP: the controller knows it.
  public static let supported = CommandEffects(rawValue: 1 << 0)
  /// LBCC: it changes data.
  public static let changesData = CommandEffects(rawValue: 1 << 1)
  /// NCC: it changes what a namespace can do.
  public static let changesNamespace = CommandEffects(rawValue: 1 << 2)
  /// NIC: it changes which namespaces there are.
  public static let changesInventory = CommandEffects(rawValue: 1 << 3)
  /// CCC: it changes what the controller can do.
  public static let changesController = CommandEffects(rawValue: 1 << 4)
  /// CSE 1: no other command to the same namespace meanwhile.
  public static let aloneInNamespace = CommandEffects(rawValue: 1 << 16)
  /// CSE 2: no other command to any namespace meanwhile.
  public static let alone = CommandEffects(rawValue: 2 << 16)
}
