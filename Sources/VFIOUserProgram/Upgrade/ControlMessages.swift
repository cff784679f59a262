/// A request of JSON-RPC 2.0.
package struct ControlRequest: Codable, Sendable {
  package struct Parameters: Codable, Sendable {
    /// The path of a program.
    package var program: String?

    package init(program: String? = nil) { self.program = program }
  }

  package var jsonrpc = "2.0"
  package var id = 1
  package var method: String
  package var params: Parameters?

  package init(_ method: String, _ params: Parameters? = nil) {
    self.method = method
    self.params = params
  }
}

/// An answer of JSON-RPC 2.0.
package struct ControlAnswer: Codable, Sendable {
  package struct Result: Codable, Sendable {
    /// The absolute paths of the sockets of the devices.
    package var devices: [String]?
    package var upgrade: UpgradeResult?
  }

  package struct Failure: Codable, Error, Sendable {
    package var code = -32000
    package var message: String
  }

  package var jsonrpc = "2.0"
  package var id = 1
  package var result: Result?
  package var error: Failure?

  static func failure(_ message: String) -> ControlAnswer {
    ControlAnswer(error: Failure(message: message))
  }
}
