/// What is to happen with a range of interrupts of one type (`struct vfio_irq_set`; specification,
/// "VFIO_USER_DEVICE_SET_IRQS").
///
/// The reply has no payload.
///
/// The value is the fixed part. Booleans stay in the payload, see ``booleans(in:)``; descriptors
/// travel beside the message.
public struct SetInterrupts: FixedSizeMessage, WireMessage {
  /// Bytes of the fixed part on the wire.
  public static let wireSize = 20

  /// What comes with the command.
  public enum DataKind: UInt32, Sendable, CaseIterable {
    /// `VFIO_IRQ_SET_DATA_NONE`: nothing, the action concerns the whole range.
    case none = 0b001
    /// `VFIO_IRQ_SET_DATA_BOOL`: a byte for each interrupt says whether the action concerns it.
    case booleans = 0b010
    /// `VFIO_IRQ_SET_DATA_EVENTFD`: descriptors to be signalled when the action happens; with no
    /// descriptors the present ones are taken away.
    case eventDescriptors = 0b100
  }

  /// What is to happen.
  public enum Action: UInt32, Sendable, CaseIterable {
    /// `VFIO_IRQ_SET_ACTION_MASK`.
    case mask = 0b001_000
    /// `VFIO_IRQ_SET_ACTION_UNMASK`.
    case unmask = 0b010_000
    /// `VFIO_IRQ_SET_ACTION_TRIGGER`.
    case trigger = 0b100_000
  }

  /// The size that the sender gave the payload.
  public var argumentSize: UInt32
  /// What comes with the command.
  public var data: DataKind
  /// What is to happen.
  public var action: Action
  /// The type of interrupt.
  public var index: InterruptIndex
  /// The first interrupt of the range.
  public var start: UInt32
  /// How many interrupts the range has.
  public var count: UInt32

  /// Puts the fixed part together; `argsz` follows.
  public init(
    data: DataKind, action: Action, index: InterruptIndex, start: UInt32, count: UInt32
  ) {
    self.data = data
    self.action = action
    self.index = index
    self.start = start
    self.count = count
    let size = VFIOUserProtocol.wireSize(Self.wireSize, plus: data == .booleans ? UInt64(count) : 0)
    argumentSize = UInt32(clamping: size)
  }

  /// Reads the fixed part; the payload has to hold it and the booleans, and nothing more.
  public init(decoding bytes: Span<UInt8>) throws(WireError) {
    try bytes.require(Self.wireSize)
    argumentSize = bytes.littleEndian(at: 0)
    let flags: UInt32 = bytes.littleEndian(at: 4)
    index = InterruptIndex(rawValue: bytes.littleEndian(at: 8))
    start = bytes.littleEndian(at: 12)
    count = bytes.littleEndian(at: 16)
    try refuseReserved(UInt64(flags & ~0b111_111), in: "flags of DEVICE_SET_IRQS")
    guard let data = DataKind(rawValue: flags & 0b111) else {
      throw .notExactlyOne(of: "DATA_NONE, DATA_BOOL, DATA_EVENTFD", value: flags)
    }
    guard let action = Action(rawValue: flags & 0b111_000) else {
      throw .notExactlyOne(of: "ACTION_MASK, ACTION_UNMASK, ACTION_TRIGGER", value: flags)
    }
    self.data = data
    self.action = action
    let needed = VFIOUserProtocol.wireSize(Self.wireSize, plus: booleanCount)
    try requireArgumentSize(argumentSize, atLeast: UInt32(clamping: needed))
    try bytes.requireExactly(needed)
  }

  /// Writes the fixed part; the booleans are for the caller to put behind it.
  @_lifetime(bytes: copy bytes)
  public func encode(into bytes: inout MutableRawSpan) {
    bytes.storeLittleEndian(argumentSize, at: 0)
    bytes.storeLittleEndian(data.rawValue | action.rawValue, at: 4)
    bytes.storeLittleEndian(index.rawValue, at: 8)
    bytes.storeLittleEndian(start, at: 12)
    bytes.storeLittleEndian(count, at: 16)
  }

  private var booleanCount: UInt64 { data == .booleans ? UInt64(count) : 0 }

  /// The booleans, one byte each, not zero for true; empty when there are none.
  ///
  /// - Parameters:
  ///   - payload: the payload that this value was read from.
  /// - Returns: ``count`` bytes, or none.
  @_lifetime(copy payload)
  public func booleans(in payload: Span<UInt8>) throws(WireError) -> Span<UInt8> {
    try payload.bulk(behind: Self.wireSize, length: booleanCount)
  }

  /// Whether the command switches the whole type off: no data, start 0, count 0.
  public var disablesAll: Bool { data == .none && start == 0 && count == 0 }

  /// The interrupts as a range, nil when it does not lie within the first `available`.
  public func range(within available: UInt32) -> Range<Int>? {
    let (end, overflow) = start.addingReportingOverflow(count)
    guard !overflow, end <= available else { return nil }
    return Int(start)..<Int(end)
  }
}
