internal import VFIOUserProtocol

/// Something that the specification does not permit.
package struct Violation: Equatable, Sendable {
  /// The section of the specification.
  package let clause: String
  /// What was seen.
  package let text: String

  package init(_ clause: String, _ text: String) {
    self.clause = clause
    self.text = text
  }
}

extension Violation: CustomStringConvertible {
  package var description: String { "\(text) [\(clause)]" }
}

/// Sections of the specification.
enum Clause {
  static let header = "Header"
  static let commands = "Commands"
  static let version = "VFIO_USER_VERSION"
  static let sizes = "Message sizes"
  static let transfers = "Read and Write Operations"
  static let socket = "Socket"

  /// The section of a command.
  static func of(_ command: Command) -> String {
    command.sender == nil ? commands : "VFIO_USER_\(command)"
  }
}
