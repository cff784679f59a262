/// CC, the controller configuration, written by the host (NVMe 1.4, figure 78).
public struct ControllerConfiguration: RawRepresentable, Equatable, Sendable {
  /// The register value.
  public var rawValue: UInt32

  /// Wraps any bits.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Mask of the bits that the host can write.
  public static let writable: UInt32 = 0x00FF_FFF1

  private func bits(_ shift: UInt32, _ width: UInt32) -> UInt8 {
    UInt8(truncatingIfNeeded: rawValue >> shift & (1 << width - 1))
  }

  private mutating func set(_ value: UInt8, _ shift: UInt32, _ width: UInt32) {
    let mask: UInt32 = (1 << width - 1) << shift
    rawValue = rawValue & ~mask | UInt32(value) << shift & mask
  }

  /// EN: the controller is enabled.
  public var isEnabled: Bool {
    get { bits(0, 1) != 0 }
    set { set(newValue ? 1 : 0, 0, 1) }
  }
  /// CSS: the command set; 0 NVM, 7 admin commands only.
  public var commandSet: UInt8 {
    get { bits(4, 3) }
    set { set(newValue, 4, 3) }
  }
  /// MPS: the page size, 4096 << n bytes.
  public var pageSize: UInt8 {
    get { bits(7, 4) }
    set { set(newValue, 7, 4) }
  }
  /// AMS: the arbitration mechanism; 0 round robin.
  public var arbitration: UInt8 {
    get { bits(11, 3) }
    set { set(newValue, 11, 3) }
  }
  /// SHN: shutdown notification; 0 none, 1 normal, 2 abrupt.
  public var shutdown: UInt8 {
    get { bits(14, 2) }
    set { set(newValue, 14, 2) }
  }
  /// IOSQES: size of an I/O submission entry, 2^n bytes.
  public var submissionEntrySize: UInt8 {
    get { bits(16, 4) }
    set { set(newValue, 16, 4) }
  }
  /// IOCQES: size of an I/O completion entry, 2^n bytes.
  public var completionEntrySize: UInt8 {
    get { bits(20, 4) }
    set { set(newValue, 20, 4) }
  }
}

/// CSTS, the controller status (NVMe 1.4, figure 79).
public struct ControllerStatus: RawRepresentable, Equatable, Sendable {
  /// The register value.
  public var rawValue: UInt32

  /// Wraps any bits.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  private func flag(_ bit: UInt32) -> Bool { rawValue & 1 << bit != 0 }
  private mutating func set(_ value: Bool, _ bit: UInt32) {
    rawValue = value ? rawValue | 1 << bit : rawValue & ~(1 << bit)
  }

  /// RDY: the controller accepts commands.
  public var isReady: Bool {
    get { flag(0) }
    set { set(newValue, 0) }
  }
  /// CFS: controller fatal status; only a reset recovers it.
  public var isFatal: Bool {
    get { flag(1) }
    set { set(newValue, 1) }
  }
  /// SHST: shutdown status; 0 none, 1 in progress, 2 complete.
  public var shutdown: UInt8 {
    get { UInt8(truncatingIfNeeded: rawValue >> 2 & 3) }
    set { rawValue = rawValue & ~0b1100 | UInt32(newValue & 3) << 2 }
  }
  /// NSSRO: a subsystem reset occurred; cleared by writing one.
  public var subsystemResetOccurred: Bool {
    get { flag(4) }
    set { set(newValue, 4) }
  }
  /// PP: command processing is paused.
  public var isPaused: Bool {
    get { flag(5) }
    set { set(newValue, 5) }
  }
}

/// AQA, the sizes of the admin queues (NVMe 1.4, figure 81).
public struct AdminQueueAttributes: RawRepresentable, Equatable, Sendable {
  /// The register value.
  public var rawValue: UInt32

  /// Wraps any bits.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Creates a value from sizes in entries, 2 to 4096 each.
  public init(submissionEntries: Int, completionEntries: Int) {
    rawValue = UInt32(submissionEntries - 1) & 0xFFF | (UInt32(completionEntries - 1) & 0xFFF) << 16
  }

  /// Mask of the bits that the host can write.
  public static let writable: UInt32 = 0x0FFF_0FFF

  /// Number of entries of the submission queue.
  public var submissionEntries: Int { Int(rawValue & 0xFFF) + 1 }
  /// Number of entries of the completion queue.
  public var completionEntries: Int { Int(rawValue >> 16 & 0xFFF) + 1 }
}
