internal import CLinux
internal import LinuxPrimitives
internal import SystemPackage

/// The program that this process runs.
package enum OwnProgram {
  /// Its path when the process started: a new version that is installed has the same one.
  ///
  /// Nil without /proc. A program that is executed again has the path that it had at first, though its file may have
  /// been removed.
  static let path = Monitor<String?>(pathOfNow)

  /// Its path; nil without /proc.
  package static var present: String? { path.withLock { $0 } }

  private static var pathOfNow: String? {
    var path = [CChar](repeating: 0, count: 4096)
    // Sound: the count is that of the array, and the result is NUL-terminated.
    guard unsafe clinux_program_path(&path, path.count) > 0 else { return nil }
    let end = path.firstIndex(of: 0) ?? path.count
    return String(validating: path[..<end].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// Whether the file with this path is the one that runs.
  static func isRunning(_ path: String) -> Bool {
    guard let own = FileIdentity(of: "/proc/self/exe") else { return false }
    return FileIdentity(of: path) == own
  }

  /// Opens its file, whatever has its name by now.
  ///
  /// - Throws: ``CommandError`` without /proc.
  static func open() throws -> OwnedDescriptor {
    let number = clinux_open_own_program()
    guard number >= 0 else {
      throw CommandError(
        "the running program cannot be opened (\(Errno(rawValue: -number))), so that there would be no way back: /proc is needed"
      )
    }
    return OwnedDescriptor(adopting: number)
  }
}
