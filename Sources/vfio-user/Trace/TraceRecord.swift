import FoundationEssentials
import VFIOUserInspection
import VFIOUserProtocol

/// A message as JSON, for programs.
struct TraceRecord: Encodable {
  struct Finding: Encodable {
    let clause: String
    let text: String
  }

  struct Descriptor: Encodable {
    let kind: String
    let size: UInt64?
    let inode: UInt64?
    let name: String?
  }

  /// Nanoseconds since 1970.
  let time: UInt64
  let connection: Int
  let socket: String
  let direction: String
  /// `command`, `reply`, or why it is no message.
  let type: String
  let id: UInt16?
  let command: String?
  let number: UInt16?
  let size: Int
  let noReply: Bool?
  /// Of an error reply, 0 if it names none.
  let error: UInt32?
  let latency: UInt64?
  let region: String?
  let fields: FieldObject
  let descriptors: [Descriptor]
  let violations: [Finding]

  init(_ checked: CheckedMessage) {
    let message = checked.message
    let header = checked.header
    time = message.instant
    connection = message.stream.connection
    socket = message.stream.isTwin ? "twin" : "main"
    direction = message.stream.direction.rawValue
    type = header == nil ? message.defect?.rawValue ?? "cut" : checked.isReply ? "reply" : "command"
    id = header?.id
    command = header?.command.description
    number = header?.command.rawValue
    size = message.wireSize
    noReply = header.map { !$0.wantsReply }
    error = checked.isError ? header?.error : nil
    latency = checked.latency
    region = checked.region.map(Names.region)
    fields = FieldObject(checked.words.fields)
    descriptors = message.descriptors.map {
      Descriptor(kind: $0.kind, size: $0.size, inode: $0.inode, name: $0.name)
    }
    violations = checked.violations.map { Finding(clause: $0.clause, text: $0.text) }
  }

  private enum CodingKeys: String, CodingKey {
    case time, connection, socket, direction, type, id, command, number, size, error, region
    case fields, descriptors, violations
    case noReply = "no_reply"
    case latency = "latency_ns"
  }

  /// The object on a line.
  func line() throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(self), as: UTF8.self)
  }
}
