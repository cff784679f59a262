package import Foundation
internal import Glibc

/// A program with some arguments, from its start to its end.
package struct ProgramRun {
  /// Negated, the number of the signal that ended it.
  package let exitCode: Int32
  /// What stands on standard output.
  package let output: Data
  /// What stands on standard error.
  package let errors: String

  /// Runs a program.
  ///
  /// - Parameters:
  ///   - program: the path of the program.
  ///   - arguments: its command line.
  ///   - input: a file that becomes its standard input.
  ///   - timeout: it is killed after this.
  package init(
    _ program: URL, _ arguments: [String], input: String? = nil,
    within timeout: Duration = .seconds(120)
  ) throws {
    // Two pipes could fill up in turn; files cannot.
    let folder = try ScratchFolder()
    let process = Process()
    process.executableURL = program
    process.arguments = arguments
    process.standardInput =
      try input.map { try FileHandle(forReadingFrom: URL(filePath: $0)) } ?? FileHandle.nullDevice
    process.standardOutput = try Self.file(folder.path("output"))
    process.standardError = try Self.file(folder.path("errors"))
    try process.runClosingFiles()
    if !eventually(within: timeout, { !process.isRunning }) {
      kill(process.processIdentifier, SIGKILL)
    }
    process.waitUntilExit()
    let status = process.terminationStatus
    exitCode = process.terminationReason == .uncaughtSignal ? -status : status
    output = try Data(contentsOf: URL(filePath: folder.path("output")))
    errors = String(
      decoding: try Data(contentsOf: URL(filePath: folder.path("errors"))), as: UTF8.self)
  }

  private static func file(_ path: String) throws -> FileHandle {
    _ = FileManager.default.createFile(atPath: path, contents: nil)
    return try FileHandle(forWritingTo: URL(filePath: path))
  }

  /// Standard output as text.
  package var text: String { String(decoding: output, as: UTF8.self) }

  /// Standard output as a value in JSON.
  package func decoded<Value: Decodable>(_ type: Value.Type = Value.self) throws -> Value {
    do {
      return try JSONDecoder().decode(type, from: output)
    } catch {
      throw HarnessError("\(error)\n\(text)\n\(errors)")
    }
  }
}

extension URL {
  /// A program of this package: SwiftPM builds it next to the test bundle, which is this process.
  package static func builtProgram(_ name: String) -> URL {
    URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
      .appending(path: name)
  }
}
