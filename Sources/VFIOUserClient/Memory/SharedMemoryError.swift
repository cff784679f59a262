internal import SystemPackage

/// Why memory cannot be adopted; the description has the remedy.
public struct SharedMemoryError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The kinds of reason; later versions may add more.
  public struct Code: Hashable, Sendable {
    private let number: UInt8

    /// The size is zero.
    public static let empty = Code(number: 0)
    /// Offset or size is not a multiple of the file's page size.
    public static let misaligned = Code(number: 1)
    /// The range does not lie in the file.
    public static let outsideOfFile = Code(number: 2)
    /// The descriptor does not permit reading.
    public static let notReadable = Code(number: 3)
    /// The descriptor is not that of a file.
    public static let notAFile = Code(number: 4)
    /// A system call failed.
    public static let system = Code(number: 5)
  }

  /// The kind of reason.
  public let code: Code
  /// The cause and the remedy, with the numbers.
  public let description: String
  /// The errno, for ``Code/system``.
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
