internal import SystemPackage

/// A copy between guest addresses, described by the registers.
struct CopyRequest: Equatable, Sendable {
  /// The control register.
  struct Control: OptionSet, Sendable {
    let rawValue: UInt32

    /// The number of the vector.
    static let vectorBits = Control(rawValue: 0xFFFF)
    /// Interrupts when the copy has ended.
    static let interrupts = Control(rawValue: 0x1_0000)
    /// Enables the doorbell's descriptor.
    static let enablesDescriptor = Control(rawValue: 0x2_0000)
    static let known: Control = [.vectorBits, .interrupts, .enablesDescriptor]
  }

  /// Maximum number of bytes of a copy.
  static let maxBytes: UInt64 = 1 << 20
  /// Number of bytes after which the copy is checked for being dropped.
  static let pieceSize = 64 << 10

  var source: UInt64 = 0
  var destination: UInt64 = 0
  var count: UInt64 = 0
  var control: Control = []

  var vector: UInt32 { control.intersection(.vectorBits).rawValue }

  /// Whether an interrupt with an existing vector is requested.
  var interrupts: Bool { control.contains(.interrupts) && vector < UInt32(ScratchDevice.vectors) }

  /// Checks the request, so that an invalid one copies nothing.
  func check() throws(Errno) {
    guard count <= Self.maxBytes else { throw .argListTooLong }
    guard !control.contains(.interrupts) || interrupts else { throw .invalidArgument }
    guard count > 0 else { return }
    for start in [source, destination] where start.addingReportingOverflow(count - 1).overflow {
      throw .invalidArgument
    }
  }

  /// Carries out the copy.
  ///
  /// - Parameters:
  ///   - memory: of the client that requested it.
  ///   - staging: a buffer for the bytes; grows to the needed size.
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
