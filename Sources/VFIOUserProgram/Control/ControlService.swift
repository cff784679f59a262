internal import FoundationEssentials
internal import LinuxPrimitives
internal import Logging

/// A method that callers of the control socket can call.
struct ControlMethod: Sendable {
  let name: String
  /// A sentence for people.
  let summary: String
  /// The names of its parameters.
  let parameters: [String]
  /// Whether it changes something, so that a client of a device may not call it.
  let isChange: Bool
  let body: @Sendable (ControlCall) throws -> JSONValue?

  init(
    _ name: String, _ summary: String, parameters: [String] = [], isChange: Bool = false,
    _ body: @escaping @Sendable (ControlCall) throws -> JSONValue?
  ) {
    self.name = name
    self.summary = summary
    self.parameters = parameters
    self.isChange = isChange
    self.body = body
  }
}

/// A call that is being served.
struct ControlCall: Sendable {
  let request: ControlRequest
  let caller: ControlConnection
  let isInBatch: Bool

  /// Reads the parameters.
  ///
  /// - Throws: ``ControlFailure`` that says what is wrong with them.
  func parameters<Parameters: Decodable>(_ type: Parameters.Type) throws -> Parameters {
    do {
      return try (request.params ?? .object([:])).decode(type)
    } catch DecodingError.keyNotFound(let key, _) {
      throw ControlFailure.invalidParameters(
        "\(request.method) needs the parameter '\(key.stringValue)'")
    } catch DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context),
      DecodingError.dataCorrupted(let context)
    {
      let path = context.codingPath.map(\.stringValue).joined(separator: ".")
      throw ControlFailure.invalidParameters(
        "the parameter '\(path)' of \(request.method) is of another type")
    }
  }
}

/// Serves the callers of control sockets.
struct ControlService: Sendable {
  /// Maximum number of bytes of a request.
  static let maxRequest = 64 << 10
  /// Maximum number of requests in a batch.
  static let maxBatch = 64
  /// How many bytes the answers to a batch may have before its other requests are refused.
  static let maxBatchAnswers = 1 << 20
  /// How long a connection may be without a request.
  static let idle: Duration = .seconds(300)
  /// How long a caller may take to send its request.
  static let patience: Duration = .seconds(5)

  let methods: [ControlMethod]
  /// Whether a process is or was a client of one of the devices: a VMM whose guest has taken it over must not choose what
  /// this process executes, opens or closes.
  let isClient: @Sendable (Int32) -> Bool

  /// Serves a caller until it is gone.
  func serve(_ caller: ControlConnection) {
    while true {
      switch caller.receiveLine(
        atMost: Self.maxRequest, idle: Self.idle, patience: Self.patience)
      {
      case .closed: return
      case .timedOut:
        caller.send(ControlAnswer(to: nil, ControlFailure("no request came in time")))
        return
      case .tooLong:
        caller.send(
          ControlAnswer(
            to: nil, ControlFailure("a request has at most \(Self.maxRequest) bytes")))
        return
      case .complete(let line):
        guard answer(line, caller) else { return }
      }
    }
  }

  /// - Returns: whether the caller can go on.
  private func answer(_ line: [UInt8], _ caller: ControlConnection) -> Bool {
    guard JSONText.isAcceptable(line),
      let value = try? JSONDecoder().decode(JSONValue.self, from: Data(line))
    else {
      return caller.send(ControlAnswer(to: nil, .parseError))
    }
    guard case .list(let batch) = value else {
      return answer(to: value, caller).map { caller.send($0) } ?? true
    }
    guard 1...Self.maxBatch ~= batch.count else {
      return caller.send(
        ControlAnswer(
          to: nil, ControlFailure(code: -32600, "a batch has 1 to \(Self.maxBatch) requests")))
    }
    return answer(batch, caller)
  }

  /// Serves a batch, of which the answers are kept until the last one.
  private func answer(_ batch: [JSONValue], _ caller: ControlConnection) -> Bool {
    var answers: [UInt8] = []
    for value in batch {
      guard
        let answer = answers.count > Self.maxBatchAnswers
          ? refuse(value) : answer(to: value, caller, isInBatch: true),
        let text = try? JSONEncoder().encode(answer)
      else { continue }
      answers += (answers.isEmpty ? "[" : ",").utf8
      answers += text
    }
    return answers.isEmpty || caller.send(line: answers + "]".utf8)
  }

  /// The answer to a request for which there is no more room in its batch.
  private func refuse(_ value: JSONValue) -> ControlAnswer? {
    value["id"].map {
      ControlAnswer(
        to: $0,
        ControlFailure(
          "this was not done: the answers to this batch have \(Self.maxBatchAnswers) bytes already")
      )
    }
  }

  /// - Returns: nil if there is no answer, or it is given later.
  private func answer(
    to value: JSONValue, _ caller: ControlConnection, isInBatch: Bool = false
  ) -> ControlAnswer? {
    guard let request = try? value.decode(ControlRequest.self) else {
      return ControlAnswer(to: value["id"], .invalidRequest)
    }
    do {
      let one = ControlCall(request: request, caller: caller, isInBatch: isInBatch)
      guard let result = try call(one) else { return nil }
      return request.id.map { ControlAnswer(to: $0, result) }
    } catch {
      let failure = error as? ControlFailure ?? ControlFailure("\(error)")
      return request.id.map { ControlAnswer(to: $0, failure) }
    }
  }

  private func call(_ call: ControlCall) throws -> JSONValue? {
    guard let method = methods.first(where: { $0.name == call.request.method }) else {
      throw ControlFailure(
        code: -32601,
        "there is no method '\(call.request.method)', but \(methods.map(\.name).joined(separator: ", "))"
      )
    }
    if method.isChange, let process = call.caller.peer?.process, isClient(process) {
      throw ControlFailure("a client of a device may not ask for this")
    }
    try check(call.request.params, of: method)
    return try method.body(call)
  }

  private func check(_ parameters: JSONValue?, of method: ControlMethod) throws {
    guard let parameters else { return }
    guard case .object(let members) = parameters else {
      throw ControlFailure.invalidParameters("parameters are an object, with names")
    }
    for name in members.keys.sorted() where !method.parameters.contains(name) {
      let known =
        method.parameters.isEmpty
        ? "it takes none" : "it takes \(method.parameters.joined(separator: ", "))"
      throw ControlFailure.invalidParameters(
        "\(method.name) has no parameter '\(name)': \(known)")
    }
  }
}
