internal import CLinux
internal import Glibc
internal import LinuxPrimitives
internal import SystemPackage

/// The program that an upgrade executes.
///
/// A process in a sandbox may execute the file of its own program, and nothing else. A new version that was installed is
/// another file with that name: the broker opens it, or whoever asks for the upgrade, and the process executes a copy in
/// memory, which needs no permission.
struct NextProgram: ~Copyable {
  /// What it is called.
  let path: String
  /// The copy, which stays open; nil for a program that is executed from its file.
  private let copy: OwnedDescriptor?
  /// What is executed.
  let file: String

  private init(path: String, copy: consuming OwnedDescriptor?, file: String) {
    self.path = path
    self.copy = copy
    self.file = file
  }

  /// - Parameters:
  ///   - path: nil for the file that has the path of the running program.
  ///   - opened: the file, from whoever has asked; nil if he has sent none.
  ///   - isConfined: whether the process is in a sandbox.
  /// - Throws: ``CommandError`` with cause and remedy.
  static func find(
    _ path: String?, opened: OwnedFile?, isConfined: Bool
  ) throws -> NextProgram {
    guard let path = path ?? OwnProgram.present else {
      throw CommandError("the path of the running program is not known: /proc is needed")
    }
    // Sound: the string is lent for the call.
    let refusal = unsafe clinux_can_execute(path)
    guard refusal == 0 else {
      throw CommandError("\(path) cannot be executed: \(Errno(rawValue: -refusal))")
    }
    if !isConfined || OwnProgram.isRunning(path) {
      return NextProgram(path: path, copy: nil, file: path)
    }
    let copy = try copied(path, opened)
    let file = "/proc/self/fd/\(copy.number)"
    return NextProgram(path: path, copy: copy, file: file)
  }

  private static func copied(_ path: String, _ opened: OwnedFile?) throws -> OwnedDescriptor {
    do {
      if let opened { return try opened.copied() }
      if let file = try Broker.open(path) { return try OwnedFile(file).copied() }
    } catch {
      throw CommandError("\(path) cannot be copied for execution: \(error)")
    }
    throw CommandError(
      "\(path) is outside of this process's sandbox: vfio-user upgrade --program hands it over.")
  }
}

/// A file that somebody has opened for us.
final class OwnedFile: Sendable {
  private let descriptor: OwnedDescriptor

  init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }

  /// A copy in sealed memory.
  ///
  /// - Throws: what the system says; `ENOEXEC` for anything but a regular file.
  func copied() throws(SystemCallError) -> OwnedDescriptor {
    OwnedDescriptor(
      adopting: try checked("memfd_create", clinux_copy_program(descriptor.number)))
  }
}

extension OwnedDescriptor {
  /// Reads a text.
  ///
  /// - Throws: `EFBIG` when it is longer, `EILSEQ` when it is no UTF-8.
  borrowing func text(atMost limit: Int) throws -> String {
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 1 << 16)
    let file = FileDescriptor(rawValue: number)
    while true {
      // Sound: the buffer is that of the array and valid during the call.
      let count = try unsafe piece.withUnsafeMutableBytes { try unsafe file.read(into: $0) }
      guard count > 0 else { break }
      bytes += piece[..<count]
      guard bytes.count <= limit else { throw Errno.fileTooLarge }
    }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw Errno.illegalByteSequence
    }
    return text
  }
}
