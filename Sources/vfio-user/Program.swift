import ArgumentParser
import CLinux
import Glibc
import SystemPackage

/// Runs the program, from its arguments to its exit code.
enum Program {
  /// Runs a command and ends the process.
  static func run(_ root: any ParsableCommand.Type) -> Never {
    ProcessStart.prepare()
    do {
      let arguments = try arguments()
      try UnknownCommand.check(arguments, root)
      try RenamedOptions.check(arguments)
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
    if error is UsageError || error is ConfigurationError {
      note("Error: \(error)")
      exit(ExitCode.validationFailure.rawValue)
    }
    let code = root.exitCode(for: error)
    let message = root.fullMessage(for: error)
    if code == .success {
      // The help text.
      do { try say(message) } catch { end(root, error) }
    } else if !message.isEmpty {
      note(message)
    }
    exit(code.rawValue)
  }
}

/// An error in the command line, reported without the usage text.
struct UsageError: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }
}

/// Detects unknown commands; the parser would report the first option after one instead.
enum UnknownCommand {
  /// Checks the words before the first option, as far as they have to be commands.
  static func check(_ arguments: [String], _ root: any ParsableCommand.Type) throws {
    var command = root
    for word in arguments {
      let commands = command.configuration.subcommands
      guard !commands.isEmpty, !word.hasPrefix("-"), word != "help" else { return }
      let names = commands.map { $0._commandName }
      guard let known = commands.first(where: { $0._commandName == word }) else {
        throw UsageError(
          "there is no command '\(word)'.\(Suggestion.sentence(for: word, among: names)) The commands are \(names.joined(separator: ", "))."
        )
      }
      command = known
    }
  }
}
