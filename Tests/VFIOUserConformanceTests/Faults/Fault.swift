import LinuxPrimitives
import TestSupport
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserConformance

/// A message on its way through a relay, which may change it.
struct Passing {
  var header: Header
  var payload: [UInt8]
  var descriptors: [HeldDescriptor] = []

  var command: Command { header.command }
  var isError: Bool { header.flags.contains(.error) }

  func word(_ offset: Int) -> UInt32 { payload.number(at: offset) ?? 0 }
  func long(_ offset: Int) -> UInt64 { payload.number(at: offset) ?? 0 }

  /// The bytes; the size in the header is what there is.
  var bytes: [UInt8] {
    var header = header
    header.size = UInt32(Header.wireSize + payload.count)
    return header.bytes + payload
  }

  /// A reply to this request.
  func reply(_ payload: [UInt8] = [], error: UInt32 = 0) -> [UInt8] {
    var header = header.reply(payload: payload.count)
    if error != 0 { header = self.header.errorReply(errno: error) }
    return header.bytes + (error == 0 ? payload : [])
  }

  /// Whether it is an access of configuration space that covers an offset.
  func covers(_ offset: UInt64) -> Bool {
    guard command == .regionRead || command == .regionWrite, word(8) == 7 else { return false }
    return long(0) <= offset && offset < long(0) + UInt64(word(12))
  }
}

/// What a relay does with a message.
enum Deed {
  case pass
  case swallow
  /// Bytes go back to the client instead.
  case answer([UInt8])
  /// The connection ends.
  case end
  /// The connection ends, and nobody is served any more.
  case kill
}

/// What a fault knows of the messages before; shared by all connections.
struct FaultMemory {
  var counts: [String: Int] = [:]
  var notes: [String: [UInt8]] = [:]
  var held: [HeldDescriptor] = []
  var mapped: [MappedFile] = []
  var connections = 0

  /// How often this was called with a name, this time included.
  mutating func count(_ name: String) -> Int {
    counts[name, default: 0] += 1
    return counts[name, default: 0]
  }
}

/// One fault of a server, seen from its clients.
struct Fault: Sendable {
  typealias OfRequest = @Sendable (inout Passing, inout FaultMemory) -> Deed
  typealias OfReply = @Sendable (inout Passing, Passing, inout FaultMemory) -> Deed

  var request: OfRequest = { _, _ in .pass }
  /// Gets the reply, and the request that it answers.
  var reply: OfReply = { _, _, _ in .pass }
  /// Gets how many bytes of a message have arrived without its end.
  var piece: @Sendable (Int) -> Deed = { _ in .pass }
  /// Gets the header of a message whose size cannot be.
  var malformed: @Sendable (Header, inout FaultMemory) -> Deed = { _, _ in .pass }
  /// A client has gone: how many bytes of a message were unfinished, how many messages there were.
  var ending: @Sendable (Int, Int, inout FaultMemory) -> Deed = { _, _, _ in .pass }
}

extension Fault {
  typealias Condition = @Sendable (Passing) -> Bool
  static let always: Condition = { _ in true }

  /// A command is refused that ought to succeed.
  static func refuse(_ command: Command, _ condition: @escaping Condition = always) -> Fault {
    Fault(request: { request, _ in
      guard request.command == command, condition(request) else { return .pass }
      return .answer(request.reply(error: 5))
    })
  }

  /// A command succeeds that ought to be refused: the answer is the request's own payload, with zeros for data that was
  /// to be read.
  static func accept(_ command: Command, _ condition: @escaping Condition = always) -> Fault {
    Fault(reply: { reply, request, _ in
      guard request.command == command, reply.isError, condition(request) else { return .pass }
      reply.header.flags = .reply
      reply.header.error = 0
      reply.payload = request.payload
      if command == .regionRead {
        let count = Int(min(request.word(12), 64))
        reply.payload += [UInt8](repeating: 0, count: count)
      }
      return .pass
    })
  }

  /// The payload of a reply is changed.
  static func edit(
    _ command: Command, _ condition: @escaping Condition = always,
    _ change: @escaping @Sendable (inout [UInt8]) -> Void
  ) -> Fault {
    Fault(reply: { reply, request, _ in
      guard request.command == command, !reply.isError, condition(request) else { return .pass }
      change(&reply.payload)
      return .pass
    })
  }

  /// A reply is changed as a whole.
  static func change(
    _ command: Command, _ change: @escaping @Sendable (inout Passing, Passing) -> Void
  ) -> Fault {
    Fault(reply: { reply, request, _ in
      guard request.command == command else { return .pass }
      change(&reply, request)
      return .pass
    })
  }

  /// The request is changed before the server sees it.
  static func misread(
    _ command: Command, _ change: @escaping @Sendable (inout Passing) -> Void
  ) -> Fault {
    Fault(request: { request, _ in
      guard request.command == command else { return .pass }
      change(&request)
      return .pass
    })
  }

  /// The server dies of a request.
  static func die(_ command: Command, _ condition: @escaping Condition = always) -> Fault {
    Fault(request: { request, _ in request.command == command && condition(request) ? .kill : .pass
    })
  }

  /// The request is not carried out, but answered as if.
  static func pretend(
    _ command: Command, _ payload: [UInt8]? = nil, _ condition: @escaping Condition = always
  ) -> Fault {
    Fault(request: { request, _ in
      guard request.command == command, condition(request) else { return .pass }
      guard request.header.wantsReply else { return .swallow }
      return .answer(request.reply(payload ?? []))
    })
  }

  /// Bytes of configuration space are read as others.
  static func misreport(
    _ offset: UInt64, _ change: @escaping @Sendable (UInt8) -> UInt8
  ) -> Fault {
    Fault(reply: { reply, request, _ in
      guard request.command == .regionRead, !reply.isError, request.covers(offset) else {
        return .pass
      }
      let place = 16 + Int(offset - request.long(0))
      if let byte: UInt8 = reply.payload.number(at: place) {
        reply.payload.put([change(byte)], at: place)
      }
      return .pass
    })
  }

  /// The version data of a server.
  static func version(_ text: String, isTerminated: Bool = true) -> Fault {
    edit(.version) { payload in
      payload = Array(payload.prefix(4)) + Array(text.utf8) + (isTerminated ? [0] : [])
    }
  }
}
