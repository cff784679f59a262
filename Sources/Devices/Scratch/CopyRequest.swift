internal import SystemPackage

/// A copy between guest addresses, as the registers describe it.
struct CopyRequest: Equatable, Sendable {
  /// The control register.
  struct Control: OptionSet, Sendable {
    let rawValue: UInt32

    /// The bits that name a vector.
    static let vectorBits = Control(rawValue: 0xFFFF)
    /// Interrupts when the copy has ended.
    static let interrupts = Control(rawValue: 0x1_0000)
    /// Hears the descriptor of the doorbell.
    static let hearsDescriptor = Control(rawValue: 0x2_0000)
    static let known: Control = [.vectorBits, .interrupts, .hearsDescriptor]
  }

  /// Most bytes of a copy.
  static let maxBytes: UInt64 = 1 << 20
  /// Bytes that are written before it is looked whether the copy is still wanted.
  static let pieceSize = 64 << 10

  var source: UInt64 = 0
  var destination: UInt64 = 0
  var count: UInt64 = 0
  var control: Control = []

  var vector: UInt32 { control.intersection(.vectorBits).rawValue }

  /// Whether an interrupt is wanted that there is.
  var interrupts: Bool { control.contains(.interrupts) && vector < UInt32(ScratchDevice.vectors) }

  /// Checks what can be known beforehand, so that a copy that is refused moves nothing.
  func check() throws(Errno) {
    guard count <= Self.maxBytes else { throw .argListTooLong }
    guard !control.contains(.interrupts) || interrupts else { throw .invalidArgument }
    guard count > 0 else { return }
    for start in [source, destination] where start.addingReportingOverflow(count - 1).overflow {
      throw .invalidArgument
    }
  }

  /// Carries the copy out.
  ///
  /// - Parameters:
  ///   - memory: of the client that asked for it.
  ///   - staging: where the bytes are in between; grows to what is needed.
  func copy(
    in memory: GuestMemoryAccess, through staging: inout [UInt8]
  ) throws(MemoryError) {
    let count = Int(count)
    if staging.count < count {
      staging.append(contentsOf: repeatElement(0, count: count - staging.count))
    }
    var span = staging.mutableSpan
    // Sound: bytes have no invalid values.
    var bytes = unsafe span.mutableBytes
    var whole = bytes._mutatingExtracting(0..<count)
    try memory.read(at: source, into: &whole)
    var done = 0
    while done < count {
      let end = min(count, done + Self.pieceSize)
      try memory.write(
        at: destination + UInt64(done), from: unsafe staging.span.bytes.extracting(done..<end))
      done = end
    }
  }
}
