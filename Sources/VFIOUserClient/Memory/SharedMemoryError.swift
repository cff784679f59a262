internal import SystemPackage

/// Why memory of others cannot be lent; the description says what to do about it.
public struct SharedMemoryError: Error, Equatable, Sendable, CustomStringConvertible {
  /// What kind of reason it is; there may be more in later versions.
  public struct Code: Hashable, Sendable {
    private let number: UInt8

    /// No bytes at all.
    public static let empty = Code(number: 0)
    /// Offset or size is not a multiple of the file's page size.
    public static let misaligned = Code(number: 1)
    /// The part does not lie in the file.
    public static let outsideOfFile = Code(number: 2)
    /// The descriptor does not permit reading.
    public static let notReadable = Code(number: 3)
    /// The descriptor is not one of a file.
    public static let notAFile = Code(number: 4)
    /// The kernel refuses.
    public static let system = Code(number: 5)
  }

  /// What kind of reason it is.
  public let code: Code
  /// The cause and the remedy, with the numbers.
  public let description: String
  /// What the kernel said, of ``Code/system``.
  public let systemCall: SystemCallError?

  private init(_ code: Code, _ description: String, _ systemCall: SystemCallError? = nil) {
    self.code = code
    self.description = description
    self.systemCall = systemCall
  }

  init(_ error: SystemCallError) {
    let remedy = error.call == "mmap" ? "; lend the memory without mapping it (lending:)" : ""
    self.init(.system, "\(error)\(remedy)", error)
  }

  static let empty = Self(.empty, "no memory of 0 bytes can be lent; give the size of the part")

  static func misaligned(_ offset: UInt64, _ size: UInt64, _ page: UInt64) -> Self {
    Self(
      .misaligned,
      "\(size) bytes at \(offset) are not whole pages of \(page) bytes, which the file consists of; "
        + "round the offset down and the size up")
  }

  static func outsideOfFile(_ offset: UInt64, _ size: UInt64, _ file: UInt64) -> Self {
    Self(
      .outsideOfFile,
      "\(size) bytes at \(offset) are not inside of a file of \(file) bytes; "
        + "make the file larger first (ftruncate)")
  }

  static let notReadable = Self(
    .notReadable, "the descriptor does not permit reading; open the file O_RDWR, or O_RDONLY")

  static let notAFile = Self(
    .notAFile, "the descriptor is not one of a file; give a memfd or an open file")
}
