internal import VFIOUserProtocol

/// How the scripted server answers: as a plain server unless something is changed.
struct Behaviour: Sendable {
  /// How the bytes of a reply are sent.
  var delivery = Delivery.whole
  /// How long a reply takes.
  var delay = Duration.zero
  /// Changes an answer before it is sent.
  var change: @Sendable (_ request: Message, _ answer: inout Answer) -> Void = { _, _ in }
  /// What the server asks of the client, once it has been quiet and there is memory.
  var questions: @Sendable (_ window: ClientWindow) -> [Question] = { _ in [] }
  /// Whether to signal each eventfd that is set.
  var signals = false

  enum Delivery: Sendable {
    case whole
    /// In two pieces: so many bytes, and the rest.
    case cut(behind: Int)
    case byteByByte
  }
}

/// The answer to a command.
struct Answer: Sendable {
  var payload: [UInt8]
  /// The errno of an error reply; 0 is an error without a number.
  var error: UInt32?
  var descriptors: [HeldDescriptor] = []
  /// Bytes in front of the reply, sent together with it.
  var before: [UInt8] = []
  /// Bytes behind the reply, sent together with it.
  var after: [UInt8] = []
  /// Only so many bytes of it are sent, and then the connection is closed.
  var cut: Int?
  /// What the header says of the size, if it is not the truth.
  var size: UInt32?

  static func refusal(_ errno: Int32) -> Answer { Answer(payload: [], error: UInt32(errno)) }

  /// The bytes of the reply.
  func bytes(for request: Header) -> [UInt8] {
    var header = request.reply(payload: error == nil ? payload.count : 0)
    if let error {
      header.flags = [.reply, .error]
      header.error = error
    }
    if let size { header.size = size }
    return before + header.bytes + (error == nil ? payload : []) + after
  }
}

/// Memory that a client lends.
struct ClientWindow: Sendable {
  let address: UInt64
  let size: UInt64
  let flags: UInt32
  let offset: UInt64
  let descriptors: [HeldDescriptor]

  var end: UInt64 { address &+ size }
  var isReadable: Bool { flags & 1 != 0 }
  var isWritable: Bool { flags & 2 != 0 }
}

/// A request of the server, and what the client answered.
struct Question: Sendable {
  let name: String
  let command: Command
  let payload: [UInt8]
  var reply: Message?

  static func read(_ name: String, _ address: UInt64, _ count: UInt64) -> Question {
    Question(name: name, command: .dmaRead, payload: .u64(address, count))
  }
  static func write(
    _ name: String, _ address: UInt64, _ data: [UInt8], count: UInt64? = nil
  ) -> Question {
    let count = count ?? UInt64(data.count)
    return Question(name: name, command: .dmaWrite, payload: .u64(address, count) + data)
  }
}
