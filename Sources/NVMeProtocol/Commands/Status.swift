/// The status of a command: the status field without phase tag (NVMe 1.4, section 4.6.1, figure
/// 124).
///
/// An open set; ``code`` is only meaningful with ``type``.
public struct Status: RawRepresentable, Hashable, Sendable {
  /// Bits 14:0 of the field.
  public let rawValue: UInt16

  /// Wraps any bits, known or not.
  @inlinable
  public init(rawValue: UInt16) { self.rawValue = rawValue & 0x7FFF }

  /// Creates a status.
  @inlinable
  public init(type: UInt8, code: UInt8, doNotRetry: Bool = false, more: Bool = false) {
    rawValue =
      UInt16(code) | UInt16(type & 7) << 8 | (more ? 1 << 13 : 0) | (doNotRetry ? 1 << 14 : 0)
  }

  /// SC, the status code.
  public var code: UInt8 { UInt8(truncatingIfNeeded: rawValue) }
  /// SCT, the status code type: 0 generic, 1 command specific, 2 media and data integrity.
  public var type: UInt8 { UInt8(truncatingIfNeeded: rawValue >> 8) & 7 }
  /// CRD, the index of the controller's command retry delay.
  public var retryDelay: UInt8 { UInt8(truncatingIfNeeded: rawValue >> 11) & 3 }
  /// M: the error log has more information.
  public var more: Bool { rawValue & 1 << 13 != 0 }
  /// DNR, do not retry: the same command would fail again.
  public var doNotRetry: Bool { rawValue & 1 << 14 != 0 }

  /// Whether the command succeeded.
  public var isSuccess: Bool { rawValue & 0x7FF == 0 }

  /// Whether type and code equal those of `other`, ignoring CRD, More and Do Not Retry.
  public func means(_ other: Status) -> Bool { rawValue & 0x7FF == other.rawValue & 0x7FF }

  /// The same status with Do Not Retry set.
  public var final: Status { Status(rawValue: rawValue | 1 << 14) }
  /// The same status with More set.
  public var logged: Status { Status(rawValue: rawValue | 1 << 13) }
}

// Generic command status (figures 126 and 127).
extension Status {
  /// Successful Completion.
  public static let success = Status(type: 0, code: 0x00)
  /// Invalid Command Opcode.
  public static let invalidOpcode = Status(type: 0, code: 0x01)
  /// Invalid Field in Command.
  public static let invalidField = Status(type: 0, code: 0x02)
  /// Command ID Conflict.
  public static let commandIDConflict = Status(type: 0, code: 0x03)
  /// Data Transfer Error.
  public static let dataTransferError = Status(type: 0, code: 0x04)
  /// Internal Error.
  public static let internalError = Status(type: 0, code: 0x06)
  /// Command Abort Requested.
  public static let abortRequested = Status(type: 0, code: 0x07)
  /// Command Aborted due to SQ Deletion.
  public static let abortedByQueueDeletion = Status(type: 0, code: 0x08)
  /// Invalid Namespace or Format.
  public static let invalidNamespace = Status(type: 0, code: 0x0B)
  /// Command Sequence Error.
  public static let commandSequenceError = Status(type: 0, code: 0x0C)
  /// Invalid SGL Segment Descriptor.
  public static let invalidSGLSegment = Status(type: 0, code: 0x0D)
  /// Invalid Number of SGL Descriptors.
  public static let invalidSGLCount = Status(type: 0, code: 0x0E)
  /// Data SGL Length Invalid.
  public static let dataSGLLengthInvalid = Status(type: 0, code: 0x0F)
  /// SGL Descriptor Type Invalid.
  public static let sglTypeInvalid = Status(type: 0, code: 0x11)
  /// PRP Offset Invalid.
  public static let prpOffsetInvalid = Status(type: 0, code: 0x13)
  /// Operation Denied.
  public static let operationDenied = Status(type: 0, code: 0x15)
  /// Namespace is Write Protected.
  public static let writeProtected = Status(type: 0, code: 0x20)
  /// Command Interrupted.
  public static let commandInterrupted = Status(type: 0, code: 0x21)
  /// LBA Out of Range.
  public static let lbaOutOfRange = Status(type: 0, code: 0x80)
  /// Capacity Exceeded.
  public static let capacityExceeded = Status(type: 0, code: 0x81)
  /// Namespace Not Ready.
  public static let namespaceNotReady = Status(type: 0, code: 0x82)
  /// Format in Progress.
  public static let formatInProgress = Status(type: 0, code: 0x84)
}

// Command specific status (figures 128 and 129).
extension Status {
  /// Completion Queue Invalid.
  public static let completionQueueInvalid = Status(type: 1, code: 0x00)
  /// Invalid Queue Identifier.
  public static let invalidQueueID = Status(type: 1, code: 0x01)
  /// Invalid Queue Size.
  public static let invalidQueueSize = Status(type: 1, code: 0x02)
  /// Abort Command Limit Exceeded.
  public static let abortLimitExceeded = Status(type: 1, code: 0x03)
  /// Asynchronous Event Request Limit Exceeded.
  public static let eventRequestLimitExceeded = Status(type: 1, code: 0x05)
  /// Invalid Firmware Slot.
  public static let invalidFirmwareSlot = Status(type: 1, code: 0x06)
  /// Invalid Interrupt Vector.
  public static let invalidInterruptVector = Status(type: 1, code: 0x08)
  /// Invalid Log Page.
  public static let invalidLogPage = Status(type: 1, code: 0x09)
  /// Invalid Format.
  public static let invalidFormat = Status(type: 1, code: 0x0A)
  /// Invalid Queue Deletion.
  public static let invalidQueueDeletion = Status(type: 1, code: 0x0C)
  /// Feature Identifier Not Saveable.
  public static let featureNotSaveable = Status(type: 1, code: 0x0D)
  /// Feature Not Changeable.
  public static let featureNotChangeable = Status(type: 1, code: 0x0E)
  /// Feature Not Namespace Specific.
  public static let featureNotNamespaceSpecific = Status(type: 1, code: 0x0F)
  /// Conflicting Attributes.
  public static let conflictingAttributes = Status(type: 1, code: 0x80)
  /// Invalid Protection Information.
  public static let invalidProtectionInformation = Status(type: 1, code: 0x81)
  /// Attempted Write to Read Only Range.
  public static let writeToReadOnlyRange = Status(type: 1, code: 0x82)
}

// Media and data integrity errors (figure 130).
extension Status {
  /// Write Fault.
  public static let writeFault = Status(type: 2, code: 0x80)
  /// Unrecovered Read Error.
  public static let unrecoveredReadError = Status(type: 2, code: 0x81)
  /// Compare Failure.
  public static let compareFailure = Status(type: 2, code: 0x85)
  /// Access Denied.
  public static let accessDenied = Status(type: 2, code: 0x86)
}

extension Status: CustomStringConvertible {
  private static let names: [Status: String] = [
    .success: "success", .invalidOpcode: "invalid opcode", .invalidField: "invalid field",
    .commandIDConflict: "command ID conflict", .dataTransferError: "data transfer error",
    .internalError: "internal error", .abortRequested: "abort requested",
    .abortedByQueueDeletion: "aborted, queue deleted", .invalidNamespace: "invalid namespace",
    .commandSequenceError: "command sequence error", .invalidSGLSegment: "invalid SGL segment",
    .invalidSGLCount: "invalid number of SGL descriptors",
    .dataSGLLengthInvalid: "data SGL length invalid", .sglTypeInvalid: "SGL type invalid",
    .prpOffsetInvalid: "PRP offset invalid", .writeProtected: "namespace is write protected",
    .lbaOutOfRange: "LBA out of range", .capacityExceeded: "capacity exceeded",
    .namespaceNotReady: "namespace not ready", .formatInProgress: "format in progress",
    .completionQueueInvalid: "completion queue invalid",
    .invalidQueueID: "invalid queue identifier",
    .invalidQueueSize: "invalid queue size", .abortLimitExceeded: "abort limit exceeded",
    .eventRequestLimitExceeded: "event request limit exceeded",
    .invalidInterruptVector: "invalid interrupt vector", .invalidLogPage: "invalid log page",
    .invalidFormat: "invalid format", .invalidQueueDeletion: "invalid queue deletion",
    .featureNotSaveable: "feature not saveable", .featureNotChangeable: "feature not changeable",
    .featureNotNamespaceSpecific: "feature not namespace specific",
    .conflictingAttributes: "conflicting attributes", .writeFault: "write fault",
    .unrecoveredReadError: "unrecovered read error", .compareFailure: "compare failure",
    .accessDenied: "access denied",
  ]

  /// The name of the status, or its type and code.
  public var description: String {
    let plain = Status(rawValue: rawValue & 0x7FF)
    return Self.names[plain] ?? "status type \(type) code 0x\(String(code, radix: 16))"
  }
}
