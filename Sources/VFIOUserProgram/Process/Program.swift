package import ArgumentParser
internal import CLinux
internal import Glibc
internal import SystemPackage

/// Runs the program, from its arguments to its exit code.
package enum Program {
  /// The last component of the path by which the program was started.
  static var name: String {
    CommandLine.arguments.first?.split(separator: "/").last.map { String($0) } ?? "device"
  }

  /// Runs a command and ends the process.
  ///
  /// - Parameter check: checks the arguments before they are parsed.
  package static func run(
    _ root: any ParsableCommand.Type, check: ([String]) throws -> Void = { _ in }
  ) -> Never {
    Successor.prepare()
    ProcessStart.prepare()
    SupervisorLink.adopt()
    _ = OwnProgram.present
    do {
      let arguments = try arguments()
      try check(arguments)
      var command = try root.parseAsRoot(arguments)
      try command.run()
    } catch {
      end(root, error)
    }
    exit(EXIT_SUCCESS)
  }

  /// The arguments after the program's name.
  ///
  /// - Throws: ``UsageError`` for an argument that is not UTF-8: converted to text, it would name
  ///   another file.
  private static func arguments() throws -> [String] {
    let count = clinux_argument_count()
    guard count > 0 else { return Array(CommandLine.arguments.dropFirst()) }
    return try (1..<max(1, count)).map { index in
      // Sound: the arguments stay valid until the process ends.
      let bytes = unsafe clinux_argument(index).map { unsafe content(of: $0) } ?? []
      guard let text = String(validating: bytes, as: UTF8.self) else {
        throw UsageError(
          "argument \(index) is not UTF-8: \(escaped(bytes)). Give a file such a name that is, or a link to it (ln -s)."
        )
      }
      return text
    }
  }

  private static func content(of text: UnsafePointer<CChar>) -> [UInt8] {
    // Sound: the text is NUL-terminated.
    unsafe UnsafeBufferPointer(start: text, count: strlen(text)).map { UInt8(bitPattern: $0) }
  }

  private static func escaped(_ bytes: [UInt8]) -> String {
    let parts = bytes.map { byte in
      0x20..<0x7F ~= byte ? String(Character(UnicodeScalar(byte))) : "\\x\(hex(byte, 2))"
    }
    return parts.joined()
  }

  /// Reports why a command has ended, and ends the process.
  private static func end(_ root: any ParsableCommand.Type, _ error: any Error) -> Never {
    Successor.fallBack(error)
    // `vfio-user read ... | head`: who reads the output needs no more.
    if error as? Errno == .brokenPipe { exit(EXIT_SUCCESS) }
    if error is any WrongUsage {
      note("Error: \(error)")
      exit(ExitCode.validationFailure.rawValue)
    }
    let code = root.exitCode(for: error)
    let message = root.fullMessage(for: error)
    // Whoever has started this process says it.
    if SupervisorLink.report(ReadyReport(failure: "\(error)")) { exit(code.rawValue) }
    if code == .success {
      // The help text.
      do { try say(message) } catch { end(root, error) }
    } else if !message.isEmpty {
      note(message)
    }
    exit(code.rawValue)
  }
}
