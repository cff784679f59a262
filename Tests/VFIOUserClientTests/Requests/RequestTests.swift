import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

private let custom = Command(rawValue: 99)

private func errno(_ errno: Errno) -> UInt32 { UInt32(errno.rawValue) }

/// Options with a handler.
private func handling(_ handler: @escaping RequestHandler) -> ClientOptions {
  var options = ClientOptions()
  options.handler = handler
  return options
}

/// Asks a client for one thing while nobody waits, and says what it answered.
private func answer(
  of options: ClientOptions, to bytes: [UInt8], descriptors count: Int = 0
) throws -> ScriptedServer.Message {
  let answers = Notes<ScriptedServer.Message>()
  let client = try client(options) { server in
    server.send(bytes, descriptors: descriptors(count))
    while true {
      let message = try server.receive()
      if message.header.flags.isReply { answers.add(message) } else { server.answer(message) }
    }
  }
  // Without a handler nothing reads while nobody waits, so this one does.
  if options.handler == nil { _ = try? client.reset(timeout: .milliseconds(200)) }
  return try #require(answers.wait(for: 1).first)
}

@Suite struct `A request of the server` {
  @Test func `A request of the server gets the handler's reply, also while no call waits`() throws {
    let options = handling { request in
      let payload = request.payload
      request.reply(payload.reversed())
    }
    let reply = try answer(of: options, to: message(custom, id: 7, [1, 2, 3]))
    #expect(reply.header.id == 7)
    #expect(reply.header.command == custom)
    #expect(reply.header.flags == .reply)
    #expect(reply.payload == [3, 2, 1])
  }

  @Test func `A request of the server gets the handler's refusal`() throws {
    let reply = try answer(
      of: handling { $0.refuse(.permissionDenied) }, to: message(custom, id: 8))
    #expect(reply.header == Header.refusal(custom, id: 8, .permissionDenied))
  }

  @Test func `A request that the handler drops gets EIO`() throws {
    let reply = try answer(of: handling { _ = $0.command }, to: message(custom, id: 9))
    #expect(reply.header == Header.refusal(custom, id: 9, .ioError))
  }

  @Test func `A request to a client without a handler gets ENOSYS`() throws {
    let reply = try answer(of: ClientOptions(), to: message(custom, id: 10))
    #expect(reply.header == Header.refusal(custom, id: 10, .noFunction))
  }

  @Test(arguments: [MessageFlags(rawValue: 1 << 6), .error])
  func `A request with invalid flags gets EINVAL`(_ flags: MessageFlags) throws {
    let options = handling { $0.reply([]) }
    let reply = try answer(of: options, to: message(custom, id: 1, flags: flags))
    #expect(reply.header.error == errno(.invalidArgument))
  }

  @Test(arguments: [
    (message(custom, id: 1), 1),
    (message(custom, id: 1), 30),
    (message(.dmaRead, id: 1, longs([0, 0])), 1),
  ])
  func `A request with unexpected descriptors is still carried out`(
    _ bytes: [UInt8], _ descriptors: Int
  ) throws {
    let options = handling { $0.reply([]) }
    let reply = try answer(of: options, to: bytes, descriptors: descriptors)
    #expect(!reply.header.flags.contains(.error))
  }

  @Test func `A request with No_reply is handled without a reply`() throws {
    let handled = Notes<Int>()
    let options = handling { request in
      handled.add(request.payload.count)
      request.reply([1, 2, 3])
    }
    let reply = try answer(
      of: options,
      to: message(custom, id: 1, flags: .noReply, [1]) + message(custom, id: 2, [1, 2]))
    #expect(reply.header.id == 2)
    #expect(handled.all == [1, 2])
  }

  @Test func `A request may be answered after the handler has returned`() throws {
    let kept = Notes<Kept>()
    let options = handling { request in kept.add(Kept(request)) }
    let answers = Notes<ScriptedServer.Message>()
    let client = try client(options) { server in
      server.send(message(custom, id: 5))
      answers.add(try server.receive())
      try server.serve()
    }
    let request = try #require(kept.wait(for: 1).first)
    #expect(client.failure == nil)
    request.take()?.reply([42])
    #expect(answers.wait(for: 1).first != nil)
  }

  @Test func `A request gets EBUSY when too many others wait for the handler`() throws {
    let started = Gate()
    let finish = Gate()
    var options = handling { request in
      started.open()
      finish.wait()
      request.reply([])
    }
    options.requestLimit = 4
    let errors = Notes<[UInt32]>()
    let client = try client(options) { server in
      server.send(message(custom, id: 0))
      started.wait()
      for id in 1...7 as ClosedRange<UInt16> { server.send(message(custom, id: id)) }
      var byID = [UInt32](repeating: .max, count: 8)
      for place in 0..<8 {
        let answer = try server.receive()
        byID[Int(answer.header.id)] = answer.header.error
        if place == 2 { finish.open() }
      }
      errors.add(byID)
      try server.serve()
    }
    let busy = errno(.resourceBusy)
    #expect(errors.wait(for: 1) == [[0, 0, 0, 0, 0, busy, busy, busy]])
    #expect(try client.deviceInfo().regionCount == 9)
  }

  @Test func `A thousand requests are handled one at a time and in order`() throws {
    let inside = Monitor(0)
    let order = Notes<UInt16>()
    var options = handling { request in
      let others = inside.update { count in
        count += 1
        return count - 1
      }
      order.add(UInt16(request.payload[0]) + UInt16(others) * 1000)
      inside.update { $0 -= 1 }
      request.reply([])
    }
    options.requestLimit = 2000
    let count = 1000
    let client = try client(options) { server in
      for id in 0..<UInt16(count) {
        server.send(message(custom, id: id, [UInt8(truncatingIfNeeded: id)]))
      }
      try server.serve()
    }
    #expect(order.wait(for: count) == (0..<UInt16(count)).map { $0 % 256 })
    #expect(try client.deviceInfo().regionCount == 9)
  }
}

/// Keeps a request.
private final class Kept: Sendable {
  private let request: Monitor<IncomingRequest?>

  init(_ request: consuming IncomingRequest) { self.request = Monitor(consume request) }

  func take() -> IncomingRequest? { request.withLock { $0.take() } }
}

extension Header {
  /// The header of an error reply.
  static func refusal(_ command: Command, id: UInt16, _ errno: Errno) -> Header {
    Header(
      id: id, command: command, size: 16, flags: [.reply, .error], error: UInt32(errno.rawValue))
  }
}
