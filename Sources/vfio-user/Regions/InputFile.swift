import ArgumentParser
import CLinux
import SystemPackage
import VFIOUserProgram

/// A file, or standard input, as bytes.
enum InputFile {
  /// Reads to the end.
  ///
  /// - Parameters:
  ///   - path: - is standard input.
  ///   - limit: more bytes are an error, so that an endless input is not read for ever.
  static func bytes(of path: String, limit: Int) throws -> [UInt8] {
    do {
      guard path != "-" else { return try bytes(of: .standardInput, path, limit) }
      let file = try FileDescriptor.open(FilePath(path), .readOnly, options: .closeOnExec)
      return try file.closeAfter { try bytes(of: file, path, limit) }
    } catch let error as Errno {
      throw CommandError("cannot read \(path): \(error)")
    }
  }

  private static func bytes(
    of file: FileDescriptor, _ path: String, _ limit: Int
  ) throws -> [UInt8] {
    var all: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      try waitForInput(file)
      // Sound: the buffer is the array's own, for the length of the call.
      let got = try unsafe piece.withUnsafeMutableBytes { unsafe try file.read(into: $0) }
      guard got > 0 else { return all }
      guard all.count + got <= limit else {
        throw CommandError(
          "\(path) has more than the \(limit) bytes that are left in the region behind the offset.")
      }
      all += piece[..<got]
    }
  }

  /// Waits for bytes, or the end of them; Ctrl-C ends the wait of a pipe or a terminal.
  private static func waitForInput(_ file: FileDescriptor) throws {
    let slice: Int64 = 100_000_000
    var interest = clinux_interest(
      descriptor: file.rawValue, wanted: Int16(CLINUX_READABLE), happened: 0)
    // Sound: the structure is lent for the call. An error is for the read to report.
    while unsafe clinux_poll(&interest, 1, slice) == 0 || Interruption.hasCome {
      if Interruption.hasCome { throw ExitCode(130) }
    }
  }
}
