internal import LinuxPrimitives

/// Who has asked for an upgrade over the control socket, and gets the answer from whichever program serves then.
struct UpgradeCaller: Sendable {
  /// What the next program needs to answer.
  struct Record: Codable, Sendable {
    var descriptor: Int32
    var id: JSONValue
  }

  /// How long a caller may take to accept its answer: signals to end the process wait meanwhile.
  private static let patience: Duration = .seconds(1)

  let connection: ControlConnection
  /// Nil in a notification, which gets no answer.
  let id: JSONValue?

  /// Nil for a caller that gets no answer.
  var record: Record? { id.map { Record(descriptor: connection.number, id: $0) } }

  init(_ connection: ControlConnection, id: JSONValue?) {
    self.connection = connection
    self.id = id
  }

  /// Takes over the caller of the program before this one.
  init(_ record: Record) throws {
    connection = try ControlConnection(OwnedDescriptor.duplicate(of: record.descriptor))
    id = record.id
  }

  func send(_ result: UpgradeResult) {
    guard let value = try? JSONValue(of: result) else { return }
    send { ControlAnswer(to: $0, value) }
  }

  func send(_ failure: ControlFailure) { send { ControlAnswer(to: $0, failure) } }

  private func send(_ answer: (JSONValue) -> ControlAnswer) {
    if let id { connection.send(answer(id), within: Self.patience) }
  }
}
