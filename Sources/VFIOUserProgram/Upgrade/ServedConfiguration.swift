internal import LinuxPrimitives

/// The text of the configuration file that the process serves.
package enum ServedConfiguration {
  private static let kept = Monitor<String?>(nil)

  /// The text, as it was read; nil for a process without such a file.
  static var text: String? { kept.withLock { $0 } }

  /// Reads the text.
  ///
  /// A program that is executed again after its successor has failed gets the text that it had before, and not the one
  /// with which its successor has failed.
  ///
  /// - Parameter body: reads the file.
  package static func read(_ body: () throws -> String) throws -> String {
    let text = try textOfBefore ?? body()
    kept.withLock { $0 = text }
    return text
  }

  private static var textOfBefore: String? {
    get throws {
      guard case .goBack(let file, _, _)? = Successor.task else { return nil }
      return try Successor.read(file).0.configuration
    }
  }
}
