/// Configures or triggers a range of interrupts of one type (`struct vfio_irq_set`).
///
/// See the specification, "VFIO_USER_DEVICE_SET_IRQS". The reply has no payload. The value is the
/// fixed part. Booleans stay in the payload, see ``booleans(in:)``; descriptors are sent with the
/// message.
public struct SetInterrupts: FixedSizeMessage, WireMessage {
  /// Size of the fixed part on the wire in bytes.
  public static let wireSize = 20

  /// The data sent with the command.
  public enum DataKind: UInt32, Sendable, CaseIterable {
    /// `VFIO_IRQ_SET_DATA_NONE`: no data; the action applies to the whole range.
    case none = 0b001
    /// `VFIO_IRQ_SET_DATA_BOOL`: one byte per interrupt says whether the action applies to it.
    case booleans = 0b010
    /// `VFIO_IRQ_SET_DATA_EVENTFD`: eventfds that are to be signalled when the action happens.
    ///
    /// Without descriptors, the current eventfds are removed.
    case eventDescriptors = 0b100
  }

  /// The action.
  public enum Action: UInt32, Sendable, CaseIterable {
    /// `VFIO_IRQ_SET_ACTION_MASK`.
    case mask = 0b001_000
    /// `VFIO_IRQ_SET_ACTION_UNMASK`.
    case unmask = 0b010_000
    /// `VFIO_IRQ_SET_ACTION_TRIGGER`.
    case trigger = 0b100_000
  }

  /// Size of the payload, as given by the sender.
  public var argumentSize: UInt32
  /// The data sent with the command.
  public var data: DataKind
  /// The action.
  public var action: Action
  /// The interrupt type.
  public var index: InterruptIndex
  /// The first interrupt of the range.
  public var start: UInt32
  /// Number of interrupts in the range.
  public var count: UInt32

  /// Creates the fixed part; `argsz` is computed.
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

  /// Decodes the fixed part; throws unless the payload is exactly that and the booleans.
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

  /// Writes the fixed part; the caller appends the booleans.
  @_lifetime(bytes: copy bytes)
  public func encode(into bytes: inout MutableRawSpan) {
    bytes.storeLittleEndian(argumentSize, at: 0)
    bytes.storeLittleEndian(data.rawValue | action.rawValue, at: 4)
    bytes.storeLittleEndian(index.rawValue, at: 8)
    bytes.storeLittleEndian(start, at: 12)
    bytes.storeLittleEndian(count, at: 16)
  }

  private var booleanCount: UInt64 { data == .booleans ? UInt64(count) : 0 }

  /// The booleans, one byte each, nonzero for true; empty if the command has none.
  ///
  /// - Parameters:
  ///   - payload: the payload that this value was decoded from.
  /// - Returns: ``count`` bytes, or none.
  @_lifetime(copy payload)
  public func booleans(in payload: Span<UInt8>) throws(WireError) -> Span<UInt8> {
    try payload.bulk(behind: Self.wireSize, length: booleanCount)
  }

  /// Whether the command disables the whole type: no data, start 0, count 0.
  public var disablesAll: Bool { data == .none && start == 0 && count == 0 }

  /// The range of interrupts, nil if it exceeds the first `available` ones.
  public func range(within available: UInt32) -> Range<Int>? {
    let (end, overflow) = start.addingReportingOverflow(count)
    guard !overflow, end <= available else { return nil }
    return Int(start)..<Int(end)
  }
}
