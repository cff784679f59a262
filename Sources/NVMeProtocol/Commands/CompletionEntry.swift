/// An entry of a completion queue (NVMe 1.4, section 4.6, figure 121).
public struct CompletionEntry: Equatable, Sendable {
  /// Size in the queue in bytes.
  public static let wireSize = 16

  /// Dword 0, the command-specific result.
  public var result: UInt32
  /// Dword 1; reserved for most commands.
  public var dword1: UInt32
  /// SQHD: how far the controller has read the submission queue.
  public var submissionHead: UInt16
  /// SQID: the submission queue of the command.
  public var submissionQueue: UInt16
  /// CID: the ID of the completed command.
  public var commandID: UInt16
  /// P: the phase tag, inverted with each pass through the queue, so that the host detects new
  /// entries.
  public var phase: Bool
  /// The status of the command.
  public var status: Status

  /// Creates an entry.
  @inlinable
  public init(
    result: UInt32 = 0, submissionHead: UInt16, submissionQueue: UInt16, commandID: UInt16,
    phase: Bool, status: Status = .success
  ) {
    self.result = result
    dword1 = 0
    self.submissionHead = submissionHead
    self.submissionQueue = submissionQueue
    self.commandID = commandID
    self.phase = phase
    self.status = status
  }

  /// Creates an entry of its halves.
  public init(firstHalf: UInt64, secondHalf: UInt64) {
    result = UInt32(truncatingIfNeeded: firstHalf)
    dword1 = UInt32(truncatingIfNeeded: firstHalf >> 32)
    submissionHead = UInt16(truncatingIfNeeded: secondHalf)
    submissionQueue = UInt16(truncatingIfNeeded: secondHalf >> 16)
    commandID = UInt16(truncatingIfNeeded: secondHalf >> 32)
    let statusAndPhase = UInt16(truncatingIfNeeded: secondHalf >> 48)
    phase = statusAndPhase & 1 != 0
    status = Status(rawValue: statusAndPhase >> 1)
  }

  /// Decodes the fields.
  public init(decoding bytes: Span<UInt8>) throws(NVMeWireError) {
    try bytes.need(Self.wireSize)
    result = bytes.number(at: 0)
    dword1 = bytes.number(at: 4)
    submissionHead = bytes.number(at: 8)
    submissionQueue = bytes.number(at: 10)
    commandID = bytes.number(at: 12)
    let statusAndPhase: UInt16 = bytes.number(at: 14)
    phase = statusAndPhase & 1 != 0
    status = Status(rawValue: statusAndPhase >> 1)
  }

  /// Writes the 16 bytes at the start of `bytes`.
  @_lifetime(bytes: copy bytes)
  public func encode(into bytes: inout MutableRawSpan) {
    bytes.put(firstHalf, at: 0)
    bytes.put(secondHalf, at: 8)
  }

  /// Bytes 0 to 7 as one number.
  @inlinable
  public var firstHalf: UInt64 { UInt64(dword1) << 32 | UInt64(result) }

  /// Bytes 8 to 15 as one number.
  ///
  /// It contains the phase tag: when writing to a queue that is being read, store it last and as a
  /// whole.
  @inlinable
  public var secondHalf: UInt64 {
    let statusAndPhase = status.rawValue << 1 | (phase ? 1 : 0)
    return UInt64(submissionHead) | UInt64(submissionQueue) << 16 | UInt64(commandID) << 32
      | UInt64(statusAndPhase) << 48
  }
}
