package import Foundation
internal import Glibc

/// A program that a test has started.
///
/// It is certain to end: ``kill()`` or the last reference ends it.
package final class ChildProcess {
  private let process = Process()
  private let name: String
  private let log: String

  /// Starts a program.
  ///
  /// - Parameters:
  ///   - standardIO: what becomes its standard input and output.
  ///   - environment: nil for this process's.
  ///   - log: the file that its standard error goes to.
  package init(
    _ program: URL, _ arguments: [String], standardIO: FileHandle = .nullDevice, log: String,
    environment: [String: String]? = nil
  ) throws {
    name = program.lastPathComponent
    self.log = log
    process.executableURL = program
    process.arguments = arguments
    process.environment = environment
    _ = FileManager.default.createFile(atPath: log, contents: nil)
    process.standardError = try FileHandle(forWritingTo: URL(filePath: log))
    process.standardInput = standardIO
    process.standardOutput = standardIO
    // Also so that the stream ends with the program.
    try process.runClosingFiles()
  }

  deinit { kill() }

  package var isRunning: Bool { process.isRunning }

  package var processID: Int32 { process.processIdentifier }

  package func send(_ signal: Int32) { _ = Glibc.kill(process.processIdentifier, signal) }

  /// Ends the program without asking it.
  package func kill() {
    send(SIGKILL)
    _ = eventually { !process.isRunning }
  }

  /// Waits for the end of the program.
  ///
  /// - Returns: its exit code; for one that a signal ended, the signal's number, negated.
  package func exitCode(within timeout: Duration = .seconds(10)) throws -> Int32 {
    guard eventually(within: timeout, { !process.isRunning }) else {
      throw HarnessError("\(name) still runs after \(timeout)\n\(whatItSaid)")
    }
    let status = process.terminationStatus
    return process.terminationReason == .uncaughtSignal ? -status : status
  }

  /// Its standard error, for messages about failures.
  package var whatItSaid: String {
    let text = (try? String(contentsOfFile: log, encoding: .utf8)) ?? ""
    return "standard error of \(name):\n\(text.isEmpty ? "(nothing)" : text)"
  }
}

/// What a process holds, as the kernel sees it.
extension ChildProcess {
  /// What is behind its open descriptors, `socket:[4711]` for example.
  package var descriptors: [String] {
    let folder = "/proc/\(process.processIdentifier)/fd"
    let numbers = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return numbers.compactMap {
      try? FileManager.default.destinationOfSymbolicLink(atPath: "\(folder)/\($0)")
    }.sorted()
  }

  /// A file of the process in /proc, empty when there is none.
  package func status(of file: String) -> String {
    // Files of /proc have no size, and are read to their end.
    let path = URL(filePath: "/proc/\(process.processIdentifier)/\(file)")
    let bytes = try? FileHandle(forReadingFrom: path).readToEnd()
    return String(decoding: (bytes ?? nil) ?? Data(), as: UTF8.self)
  }

  /// The same once it has stayed the same for a while: what a program does after it was asked for
  /// something cannot be waited for otherwise.
  package func settledDescriptors() -> [String] {
    var found = descriptors
    while eventually(within: .milliseconds(300), { descriptors != found }) { found = descriptors }
    return found
  }

  /// Mappings of memory files: guest memory.
  package var memoryFileMappingCount: Int { memoryFileMappings("") }

  /// Mappings of memory files whose name begins like this.
  package func memoryFileMappings(_ name: String) -> Int {
    let path = "/proc/\(process.processIdentifier)/maps"
    let maps = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
    return maps.split(separator: "\n").count { $0.contains("/memfd:\(name)") }
  }
}
