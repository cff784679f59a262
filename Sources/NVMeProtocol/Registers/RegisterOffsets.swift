/// Offsets of the controller registers in BAR 0 (NVMe 1.4, figure 68).
public enum RegisterOffset {
  /// Controller Capabilities, 8 bytes.
  public static let capabilities: UInt64 = 0x00
  /// Version.
  public static let version: UInt64 = 0x08
  /// Interrupt Mask Set.
  public static let interruptMaskSet: UInt64 = 0x0C
  /// Interrupt Mask Clear.
  public static let interruptMaskClear: UInt64 = 0x10
  /// Controller Configuration.
  public static let configuration: UInt64 = 0x14
  /// Controller Status.
  public static let status: UInt64 = 0x1C
  /// NVM Subsystem Reset.
  public static let subsystemReset: UInt64 = 0x20
  /// Admin Queue Attributes.
  public static let adminQueueAttributes: UInt64 = 0x24
  /// Admin Submission Queue Base Address, 8 bytes.
  public static let adminSubmissionQueue: UInt64 = 0x28
  /// Admin Completion Queue Base Address, 8 bytes.
  public static let adminCompletionQueue: UInt64 = 0x30
  /// Controller Memory Buffer Location.
  public static let memoryBufferLocation: UInt64 = 0x38
  /// Controller Memory Buffer Size.
  public static let memoryBufferSize: UInt64 = 0x3C
  /// The first doorbell: Submission Queue 0 Tail.
  public static let doorbells: UInt64 = 0x1000

  /// The value that triggers a subsystem reset: "NVMe".
  public static let subsystemResetSignature: UInt32 = 0x4E56_4D65

  /// The tail doorbell of a submission queue.
  @inlinable
  public static func submissionTail(_ queue: UInt16, stride: UInt8 = 0) -> UInt64 {
    doorbells + UInt64(queue) * 2 * (4 << UInt64(stride))
  }

  /// The head doorbell of a completion queue.
  @inlinable
  public static func completionHead(_ queue: UInt16, stride: UInt8 = 0) -> UInt64 {
    doorbells + (UInt64(queue) * 2 + 1) * (4 << UInt64(stride))
  }
}
