/// CC, what the host wants of the controller (NVMe 1.4, figure 78).
public struct ControllerConfiguration: RawRepresentable, Equatable, Sendable {
  /// The register.
  public var rawValue: UInt32

  /// Wraps any bits.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// The bits that a host can write.
  public static let writable: UInt32 = 0x00FF_FFF1

  private func bits(_ shift: UInt32, _ width: UInt32) -> UInt8 {
    UInt8(truncatingIfNeeded: rawValue >> shift & (1 << width - 1))
  }

  private mutating func set(_ value: UInt8, _ shift: UInt32, _ width: UInt32) {
    let mask: UInt32 = (1 << width - 1) << shift
    rawValue = rawValue & ~mask | UInt32(value) << shift & mask
  }

  /// EN: the controller works.
  public var isEnabled: Bool {
    get { bits(0, 1) != 0 }
    set { set(newValue ? 1 : 0, 0, 1) }
  }
  /// CSS: the command set, 0 NVM, 7 admin only.
  public var commandSet: UInt8 {
    get { bits(4, 3) }
    set { set(newValue, 4, 3) }
  }
  /// MPS: the page size, 4096 << n.
  public var pageSize: UInt8 {
    get { bits(7, 4) }
    set { set(newValue, 7, 4) }
  }
  /// AMS: arbitration, 0 round robin.
  public var arbitration: UInt8 {
    get { bits(11, 3) }
    set { set(newValue, 11, 3) }
  }
  /// SHN: 0 nothing, 1 a normal shutdown, 2 an abrupt one.
  public var shutdown: UInt8 {
    get { bits(14, 2) }
    set { set(newValue, 14, 2) }
  }
  /// IOSQES: size of a submission entry, 1 << n.
  public var submissionEntrySize: UInt8 {
    get { bits(16, 4) }
    set { set(newValue, 16, 4) }
  }
  /// IOCQES: size of a completion entry, 1 << n.
  public var completionEntrySize: UInt8 {
    get { bits(20, 4) }
    set { set(newValue, 20, 4) }
  }
}

/// CSTS, how the controller is (NVMe 1.4, figure 79).
public struct ControllerStatus: RawRepresentable, Equatable, Sendable {
  /// The register.
  public var rawValue: UInt32

  /// Wraps any bits.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  private func flag(_ bit: UInt32) -> Bool { rawValue & 1 << bit != 0 }
  private mutating func set(_ value: Bool, _ bit: UInt32) {
    rawValue = value ? rawValue | 1 << bit : rawValue & ~(1 << bit)
  }

  /// RDY: commands are taken.
  public var isReady: Bool {
    get { flag(0) }
    set { set(newValue, 0) }
  }
  /// CFS: only a reset helps.
  public var isFatal: Bool {
    get { flag(1) }
    set { set(newValue, 1) }
  }
  /// SHST: 0 none asked for, 1 under way, 2 done.
  public var shutdown: UInt8 {
    get { UInt8(truncatingIfNeeded: rawValue >> 2 & 3) }
    set { rawValue = rawValue & ~0b1100 | UInt32(newValue & 3) << 2 }
  }
  /// NSSRO: the subsystem was reset; cleared by writing one.
  public var subsystemResetOccurred: Bool {
    get { flag(4) }
    set { set(newValue, 4) }
  }
  /// PP: processing is paused.
  public var isPaused: Bool {
    get { flag(5) }
    set { set(newValue, 5) }
  }
}

/// AQA, how long the admin queues are (NVMe 1.4, figure 81).
public struct AdminQueueAttributes: RawRepresentable, Equatable, Sendable {
  /// The register.
  public var rawValue: UInt32

  /// Wraps any bits.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Sizes in entries, 2 to 4096 each.
  public init(submissionEntries: Int, completionEntries: Int) {
    rawValue = UInt32(submissionEntries - 1) & 0xFFF | (UInt32(completionEntries - 1) & 0xFFF) << 16
  }

  /// The bits that a host can write.
  public static let writable: UInt32 = 0x0FFF_0FFF

  /// Entries of the submission queue.
  public var submissionEntries: Int { Int(rawValue & 0xFFF) + 1 }
  /// Entries of the completion queue.
  public var completionEntries: Int { Int(rawValue >> 16 & 0xFFF) + 1 }
}
