/// A request of JSON-RPC 2.0.
package struct ControlRequest: Codable, Sendable {
  /// Nil in a notification, which gets no answer.
  package var id: JSONValue?
  package var method: String
  package var params: JSONValue?

  private enum Key: String, CodingKey {
    case jsonrpc, id, method, params
  }

  package init(_ method: String, _ params: JSONValue? = nil) {
    id = .integer(1)
    self.method = method
    self.params = params
  }

  package init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: Key.self)
    guard try container.decode(String.self, forKey: .jsonrpc) == "2.0" else {
      throw ControlFailure.invalidRequest
    }
    // `null` is an id, if a poor one.
    id = container.contains(.id) ? try container.decode(JSONValue.self, forKey: .id) : nil
    method = try container.decode(String.self, forKey: .method)
    params = try container.decodeIfPresent(JSONValue.self, forKey: .params)
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: Key.self)
    try container.encode("2.0", forKey: .jsonrpc)
    try container.encodeIfPresent(id, forKey: .id)
    try container.encode(method, forKey: .method)
    try container.encodeIfPresent(params, forKey: .params)
  }
}

/// An answer of JSON-RPC 2.0.
package struct ControlAnswer: Codable, Sendable {
  package var jsonrpc = "2.0"
  /// That of the request; null if it could not be read.
  package var id: JSONValue
  package var result: JSONValue?
  package var error: ControlFailure?

  package init(to id: JSONValue?, _ result: JSONValue) {
    self.id = id ?? .null
    self.result = result
  }

  package init(to id: JSONValue?, _ failure: ControlFailure) {
    self.id = id ?? .null
    error = failure
  }
}

/// The error of an answer of JSON-RPC 2.0.
package struct ControlFailure: Codable, Error, Sendable, CustomStringConvertible {
  package var code: Int
  /// Cause and remedy.
  package var message: String

  package init(code: Int = -32000, _ message: String) {
    self.code = code
    self.message = message
  }

  package var description: String { message }

  static let parseError = ControlFailure(
    code: -32700,
    "this is not JSON. A request is one line of it, in UTF-8, without NUL, and at most \(JSONText.maxDepth) levels deep."
  )
  static let invalidRequest = ControlFailure(
    code: -32600,
    #"this is no request of JSON-RPC 2.0: {"jsonrpc":"2.0","id":1,"method":"list"} is one."#)

  static func invalidParameters(_ message: String) -> ControlFailure {
    ControlFailure(code: -32602, message)
  }
}
