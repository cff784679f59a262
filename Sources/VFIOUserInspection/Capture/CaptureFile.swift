internal import CLinux
package import SystemPackage

/// A file that messages are recorded in.
///
/// After a failed write, of a full disk for example, it takes nothing more and ends with its last
/// whole block.
package final class CaptureFile {
  private let file: FileDescriptor
  private let closes: Bool
  private var encoder: CaptureEncoder
  private var pending: [UInt8]
  private var written: Int64 = 0

  /// Why nothing more is recorded.
  package private(set) var failure: Errno?
  /// Number of messages recorded.
  package private(set) var count = 0

  /// Creates the file, or uses an empty one.
  ///
  /// - Parameters:
  ///   - description: what is recorded, for those who look at the file.
  ///   - replaces: whether a file with contents is emptied.
  /// - Throws: `EEXIST` for a file with contents that is not to be replaced.
  package convenience init(
    path: FilePath, description: String, replaces: Bool = false
  ) throws(Errno) {
    let file: FileDescriptor
    do {
      file = try FileDescriptor.open(
        path, .writeOnly,
        options: replaces ? [.create, .truncate, .closeOnExec] : [.create, .closeOnExec],
        permissions: [.ownerReadWrite])
    } catch let error as Errno {
      throw error
    } catch {
      throw .ioError
    }
    // A pipe has no end to seek to, and nothing to lose.
    if !replaces, let size = try? file.seek(offset: 0, from: .end), size > 0 {
      try? file.close()
      throw .fileExists
    }
    self.init(file, closes: true, description: description)
    flush()
    if let failure { throw failure }
  }

  /// Records to an open file or pipe.
  package init(_ file: FileDescriptor, closes: Bool, description: String) {
    self.file = file
    self.closes = closes
    encoder = CaptureEncoder(description: description)
    pending = encoder.start()
  }

  deinit {
    flush()
    if closes { try? file.close() }
  }

  /// Records a message; it is in the file after ``flush()``, or earlier.
  package func add(_ message: TracedMessage) {
    guard failure == nil else { return }
    pending += encoder.encode(message)
    count += 1
    if pending.count >= 1 << 20 { flush() }
  }

  /// Writes what is pending.
  package func flush() {
    guard failure == nil, !pending.isEmpty else { return }
    do {
      try file.writeAll(pending)
      written += Int64(pending.count)
    } catch {
      failure = error as? Errno ?? .ioError
      // Fails on a pipe, where the rest of a block cannot be taken back.
      if written > 0 { _ = clinux_truncate(file.rawValue, UInt64(written)) }
    }
    pending = []
  }
}
