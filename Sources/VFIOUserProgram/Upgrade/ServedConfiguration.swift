internal import LinuxPrimitives

/// The text of the configuration file that the process serves.
package enum ServedConfiguration {
  private struct Kept {
    var path: String?
    var text: String?
  }

  private static let kept = Monitor(Kept())

  /// Where it is; nil for a process without such a file.
  static var path: String? { kept.withLock { $0.path } }

  /// The text, as it was read.
  static var text: String? { kept.withLock { $0.text } }

  /// Reads the text.
  ///
  /// A program that is executed again after its successor has failed gets the text that it had before, and not the one
  /// with which its successor has failed.
  ///
  /// - Parameters:
  ///   - path: of the file.
  ///   - body: reads the file.
  package static func read(at path: String, _ body: () throws -> String) throws -> String {
    let text = try textOfBefore ?? body()
    kept.withLock { $0 = Kept(path: path, text: text) }
    return text
  }

  /// What is in the file by now, in a process that cannot open it any more; nil where that is not so.
  static func present() -> String? {
    guard let path, let file = try? Broker.open(path) else { return nil }
    return try? file.text(atMost: 1 << 20)
  }

  private static var textOfBefore: String? {
    get throws {
      switch Successor.task {
      case .goBack(let file, _, _)?: try Successor.read(file).0.configuration
      case .trial(let file)?, .takeOver(let file, _)?:
        try Successor.read(file).0.nextConfiguration
      case nil: nil
      }
    }
  }
}
