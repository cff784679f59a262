import Glibc
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserClient

@Suite struct `The twin socket` {
  /// What a client says to an answer with so many descriptors.
  static func answer(_ twin: String, descriptors count: Int) throws -> ClientError? {
    let running = try RunningScript { server in
      try server.agree(
        #"{"capabilities":{"max_msg_fds":8,"twin_socket":\#(twin)}}"#,
        descriptors: descriptors(count))
      try server.serve()
    }
    return failure { () throws(ClientError) in
      let client = try Client(running.clientEnd)
      _ = try client.deviceInfo()
    }
  }

  @Test func `A twin socket is accepted at any descriptor index`() throws {
    let requests = Notes<UInt32>()
    let client = try clientOfThirdDescriptor { twin in
      requests.add(try twin.ask(message(.dmaRead, id: 3, longs([0, 1]))).header.error)
    }
    #expect(requests.wait(for: 1) == [14])
    #expect(try client.deviceInfo().regionCount == 9)
  }

  /// A client whose twin is the third of four descriptors.
  private func clientOfThirdDescriptor(
    _ script: @escaping @Sendable (ScriptedServer) throws -> Void
  ) throws -> Client {
    let running = try RunningScript { server in
      let (mine, theirs) = try MessageSocket.pair()
      var list = descriptors(2)
      list.append(try theirs.descriptor.duplicate())
      list.append(taggedDescriptor(1))
      try server.agree(
        #"{"capabilities":{"twin_socket":{"supported":true,"fd_index":2}}}"#, descriptors: list)
      try script(ScriptedServer(mine))
      try server.serve()
      mine.shutdown()
    }
    return try Client(running.clientEnd)
  }

  @Test func `A twin socket with an index out of range is refused`() throws {
    let refusal = ClientError.negotiationFailed(
      "the twin socket is descriptor 2 of 2 that the server sent")
    #expect(try Self.answer(#"{"supported":true,"fd_index":2}"#, descriptors: 2) == refusal)
  }

  @Test func `A twin socket without a descriptor is refused`() throws {
    let refusal = ClientError.negotiationFailed(
      "the twin socket is descriptor 0 of 0 that the server sent")
    #expect(try Self.answer(#"{"supported":true,"fd_index":0}"#, descriptors: 0) == refusal)
  }

  @Test func `A twin socket without an index is refused`() throws {
    let refusal = ClientError.negotiationFailed(
      "the server set up a twin socket but does not say which")
    #expect(try Self.answer(#"{"supported":true}"#, descriptors: 1) == refusal)
  }

  @Test func `A twin socket whose descriptor is no socket is refused`() throws {
    let error = try Self.answer(#"{"supported":true,"fd_index":0}"#, descriptors: 1)
    guard case .negotiationFailed(let text) = error?.reason else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(text.contains("the twin socket is of no use"))
  }

  @Test func `A client works without a twin socket when the server does not support it`() throws {
    #expect(try Self.answer(#"{"supported":false}"#, descriptors: 0) == nil)
    #expect(try Self.answer(#"{"supported":false,"fd_index":7}"#, descriptors: 1) == nil)
  }

  @Test func `A twin socket that was not proposed is ignored`() throws {
    var options = ClientOptions()
    options.proposal.twinSocket = nil
    let client = try client(
      options, of: #"{"capabilities":{"twin_socket":{"supported":true,"fd_index":5}}}"#
    ) { try $0.serve() }
    #expect(client.supervisor.last.twin == nil)
    #expect(try client.deviceInfo().regionCount == 9)
  }

  @Test func `A lost twin socket ends the connection with its reason`() throws {
    let client = try clientWithTwin { server, twin in
      twin.send(message(.dmaRead, size: 3))
      try server.serve()
    }
    #expect(eventually { client.failure == .sizeBelowHeader(3) })
    #expect(throws: ClientError.disconnected(.sizeBelowHeader(3))) { try client.deviceInfo() }
  }

  @Test func `A lost connection closes the twin socket and stops serving it`() throws {
    let hasEnded = Gate()
    let client = try clientWithTwin { server, twin in
      server.send(message(.dmaRead, size: 3))
      if eventually({ twin.socket.peerHasHungUp }) { hasEnded.open() }
      _ = try server.receive()
    }
    let agreement = client.supervisor.last
    #expect(throws: ClientError.disconnected(.sizeBelowHeader(3))) { try client.deviceInfo() }
    #expect(hasEnded.wait())
    #expect(agreement.twin?.serves == false)
    #expect(eventually { agreement.twin?.hasEnded == true })
  }

  @Test func `Requests on the twin socket and the main socket are handled one at a time`() throws {
    let running = Monitor((now: 0, most: 0))
    let handled = Notes<Void>()
    var options = ClientOptions()
    options.requestLimit = 1000
    options.handler = { request in
      running.update { running in
        running.now += 1
        running.most = max(running.most, running.now)
      }
      usleep(100)
      running.update { $0.now -= 1 }
      request.reply([])
      handled.add(())
    }
    let count = 200
    let client = try clientWithTwin(options) { server, twin in
      for _ in 0..<count {
        server.send(message(Command(rawValue: 99)))
        twin.send(message(Command(rawValue: 99)))
      }
      try server.serve()
    }
    #expect(handled.wait(for: 2 * count).count == 2 * count)
    #expect(running.withLock { $0.most } == 1)
    client.disconnect()
  }

  @Test func `The first request on a twin socket may be as large as the negotiated limit`() throws {
    let answers = Notes<UInt32>()
    let client = try clientWithTwin { server, twin in
      let data = [UInt8](repeating: 1, count: 1 << 20)
      answers.add(
        try twin.ask(message(.dmaWrite, longs([0, UInt64(data.count)]) + data)).header.error)
      try server.serve()
    }
    #expect(answers.wait(for: 1) == [14])
    #expect(client.failure == nil)
  }
}
