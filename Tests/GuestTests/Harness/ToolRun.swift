import Foundation
import TestSupport

/// Programs of the host that do their work and end.
enum ToolRun {
  /// Runs a program to its end.
  ///
  /// - Returns: its standard output.
  /// - Throws: ``HarnessError`` with what it said when it does not end with success.
  @discardableResult
  static func output(of program: URL, _ arguments: [String]) throws -> String {
    let process = Process()
    process.executableURL = program
    process.arguments = arguments
    process.standardInput = FileHandle.nullDevice
    let output = Pipe()
    process.standardOutput = output
    // Two pipes could fill up in turn; a file cannot.
    let folder = try ScratchFolder()
    let log = folder.path("errors")
    _ = FileManager.default.createFile(atPath: log, contents: nil)
    process.standardError = try FileHandle(forWritingTo: URL(filePath: log))
    try process.runClosingFiles()
    let said = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      let complaint = (try? String(contentsOfFile: log, encoding: .utf8)) ?? ""
      throw HarnessError(
        "\(program.path) \(arguments.joined(separator: " ")): \(process.terminationStatus)\n"
          + said + complaint)
    }
    return said
  }

  /// The first of some programs that this machine has.
  static func find(_ names: String...) -> URL? {
    let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
    let folders = path.split(separator: ":").map(String.init) + ["/usr/sbin", "/sbin"]
    return names.lazy.flatMap { name in folders.lazy.map { "\($0)/\(name)" } }
      .first { FileManager.default.isExecutableFile(atPath: $0) }
      .map { URL(filePath: $0) }
  }
}
