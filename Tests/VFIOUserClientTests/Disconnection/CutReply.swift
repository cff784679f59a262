import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

/// An operation and all the replies that a good server gives it, any of which may be cut off.
struct CutReplies: CustomTestStringConvertible, Sendable {
  /// One reply.
  struct Reply: Sendable {
    let payload: @Sendable (ScriptedServer.Message) -> [UInt8]
    let descriptors: @Sendable () -> DescriptorList

    /// What a plausible device answers.
    static let plausible = Reply { ScriptedServer.plausiblePayload(for: $0) }

    init(
      descriptors: @escaping @Sendable () -> DescriptorList = { DescriptorList() },
      _ payload: @escaping @Sendable (ScriptedServer.Message) -> [UInt8]
    ) {
      self.payload = payload
      self.descriptors = descriptors
    }

    static func bytes(_ payload: [UInt8]) -> Reply { Reply { _ in payload } }

    /// With descriptors, files of a page.
    static func bytes(_ payload: [UInt8], files: Int) -> Reply {
      Reply(descriptors: { ReplyDescriptors.files(files) }) { _ in payload }
    }
  }

  let operation: Operation
  let replies: [Reply]
  /// Changes the options of the client.
  let maxAccess: UInt32
  let postsWrites: Bool

  var testDescription: String { operation.testDescription }

  init(
    _ operation: Operation, _ replies: [Reply], maxAccess: UInt32 = 1 << 20,
    postsWrites: Bool = true
  ) {
    self.operation = operation
    self.replies = replies
    self.maxAccess = maxAccess
    self.postsWrites = postsWrites
  }

  /// One of the operations that every client has, by name.
  init(
    named name: String, _ replies: Reply..., maxAccess: UInt32 = 1 << 20
  ) {
    guard let operation = Operation.all.first(where: { $0.testDescription == name }) else {
      preconditionFailure("there is no operation \(name)")
    }
    self.init(operation, replies, maxAccess: maxAccess)
  }

  /// Where to cut a message of so many bytes: everywhere, but for the inside of a long payload.
  static func places(in count: Int) -> [Int] {
    guard count > 256 else { return Array(0..<count) }
    return Array(0..<16 + 64) + Array(count / 2..<count / 2 + 4) + Array(count - 64..<count)
  }

  /// A client whose server gives the replies in front of `number` whole, of that one `place` bytes, and
  /// then goes.
  ///
  /// - Parameter length: told how long the cut reply is.
  func client(
    cutting number: Int, at place: Int, _ length: Notes<Int> = Notes()
  ) throws -> Client {
    var options = options(timeout: .seconds(30))
    options.maxAccess = maxAccess
    options.postsWrites = postsWrites
    let (replies, sendsAllFirst) = (replies, operation.testDescription == "transaction")
    return try VFIOUserClientTests.client(options) { server in
      for whole in replies[..<number] {
        let request = try server.receive()
        server.reply(to: request, whole.payload(request), descriptors: whole.descriptors())
      }
      let request = try server.receive()
      // A client that still sends would rather hear from that that nobody is there.
      if sendsAllFirst { for _ in number + 1..<replies.count { _ = try server.receive() } }
      let bytes = ScriptedServer.reply(to: request, replies[number].payload(request))
      length.add(bytes.count)
      guard place > 0 else { return }
      server.send(Array(bytes[..<place]), descriptors: replies[number].descriptors())
    }
  }

  /// Calls back with every way to cut one of the replies.
  func forEachCut(
    _ body: (_ place: Int, _ client: () throws -> Client) async throws -> Void
  ) async throws {
    for number in replies.indices {
      let length = Notes<Int>()
      // The first cut tells how long the reply is.
      try await body(0) { try client(cutting: number, at: 0, length) }
      for place in Self.places(in: length.wait(for: 1).first ?? 0) where place > 0 {
        try await body(place) { try client(cutting: number, at: place) }
      }
    }
  }

  /// What the caller has to get when the server goes after so many bytes.
  static func reason(_ place: Int) -> StreamError {
    place == 0 ? .closedByPeer : .endInsideMessage(had: place)
  }
}

/// Descriptors that come with replies.
enum ReplyDescriptors {
  static func files(_ count: Int) -> DescriptorList { descriptors(count) }

  /// Eventfds.
  static func events(_ count: Int) -> DescriptorList {
    var list = DescriptorList()
    for _ in 0..<count {
      guard let copy = try? EventFD().descriptor.duplicate() else { continue }
      list.append(copy)
    }
    return list
  }
}
