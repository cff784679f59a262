internal import LinuxPrimitives

/// Who has asked for an upgrade over the control socket, and gets the answer from whichever program serves then.
struct UpgradeCaller: Sendable {
  /// What the next program needs to answer.
  struct Record: Codable, Sendable {
    var descriptor: Int32
    var id: JSONValue?
  }

  let connection: ControlConnection
  let id: JSONValue?

  var record: Record { Record(descriptor: connection.number, id: id) }

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
    connection.send(ControlAnswer(to: id, value))
  }

  func send(_ failure: ControlFailure) { connection.send(ControlAnswer(to: id, failure)) }
}
