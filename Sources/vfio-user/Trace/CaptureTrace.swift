import FoundationEssentials
import SystemPackage
import VFIOUserInspection
import VFIOUserProgram

/// `vfio-user trace FILE`: shows a recording.
enum CaptureTrace {
  /// Shows a recording to its end.
  ///
  /// - Throws: ``CommandError`` if it could not be read to its end; what was there has been shown.
  static func show(_ path: String, _ output: TraceOutput) throws {
    var output = output
    var reader = try open(path)
    var checkers: [Int: ConnectionChecker] = [:]
    // Nobody looks any more when a pager has ended.
    while output.failure == nil, let message = reader.next() {
      let connection = message.stream.connection
      try output.add(checkers[connection, default: ConnectionChecker()].check(message))
    }
    for (number, checker) in checkers.sorted(by: { $0.key < $1.key }) {
      let open = checker.unanswered
      if !open.isEmpty { output.add(.unanswered(connection: number, open)) }
    }
    try output.finish()
    if let failure = output.failure, failure != .brokenPipe {
      throw CommandError("standard output takes no more: \(failure)")
    }
    if let defect = reader.defect { throw CommandError("\(path): \(defect)") }
  }

  /// Reads a recording.
  static func open(_ path: String) throws -> CaptureReader {
    let bytes: [UInt8]
    do {
      bytes = [UInt8](try Data(contentsOf: URL(filePath: path)))
    } catch {
      throw CommandError("cannot read \(path): is it there, and may you read it?")
    }
    do throws(CaptureDefect) {
      return try CaptureReader(bytes)
    } catch {
      throw CommandError("\(path): \(error).")
    }
  }
}
