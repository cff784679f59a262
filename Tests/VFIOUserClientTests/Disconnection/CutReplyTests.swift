import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

@Suite struct `A server that disconnects` {
  @Test func `A reply cut at any byte gives the reason of the loss and leaks no descriptors`() async
  {
    await #expect(processExitsWith: .success) { try await checkThatNoCutLeavesADescriptor() }
  }

  @Test(arguments: CutReplies.all)
  func `A reply cut at any byte gives tasks the reason of the loss`(_ replies: CutReplies)
    async throws
  {
    try await replies.forEachCut { place, makeClient in
      let client = try makeClient()
      let error = await taskFailure { try await replies.operation.inTask(client, nil) }
      #expect(error == .disconnected(CutReplies.reason(place)))
    }
  }

  @Test func `Every operation is in the table of cut replies`() {
    let cut = Set(CutReplies.all.map(\.operation.testDescription))
    // The one whose replies take too long to be cut everywhere; a shorter one is there.
    let missing = Operation.all.map(\.testDescription).filter { !cut.contains($0) }
    #expect(missing == ["read in pieces"])
  }

  @Test(arguments: [false, true])
  func `A VERSION reply cut at any byte gives the reason of the loss`(hasTwin: Bool) throws {
    let answer = versionAnswer(hasTwin)
    for place in 0..<16 + answer.count {
      let error = failure { () throws(ClientError) in try negotiate(hasTwin, cutAt: place) }
      #expect(error == .disconnected(CutReplies.reason(place)))
    }
    #expect(
      failure { () throws(ClientError) in try negotiate(hasTwin, cutAt: 16 + answer.count) } == nil)
  }

  @Test(arguments: requests)
  func `A request of the server cut at any byte gives the reason of the loss`(_ request: [UInt8])
    throws
  {
    for place in 0..<request.count {
      let client = try client(options(timeout: .seconds(30))) { server in
        _ = try server.receive()
        server.send(Array(request[..<place]))
      }
      #expect(throws: ClientError.disconnected(CutReplies.reason(place))) { try client.reset() }
    }
  }

  @Test(arguments: requests)
  func `A request on the twin socket cut at any byte gives the reason of the loss`(
    _ request: [UInt8]
  ) throws {
    for place in 0..<request.count {
      let client = try clientWithTwin(options(timeout: .seconds(30))) { server, twin in
        twin.send(Array(request[..<place]))
        twin.socket.shutdown()
        try server.serve()
      }
      let lost = ClientState.lost(CutReplies.reason(place))
      #expect(eventually { client.state == lost })
    }
  }

  @Test func `A post fails after the server has disconnected`() async throws {
    let client = try client { server in _ = try server.receive() }
    #expect(client.postFailure() == nil)
    #expect(eventually { client.postFailure() == .disconnected(.closedByPeer) })
    let longer = failure { () throws(ClientError) in try client.post(.bar0, at: 0, from: [1, 2, 3])
    }
    #expect(longer == .disconnected(.closedByPeer))
    let failure = await taskFailure { try await client.post(UInt32(1), .bar0, at: 0) }
    #expect(failure == .disconnected(.closedByPeer))
  }

  @Test func `A post fails after a server that did not read has disconnected`() async throws {
    let goes = Gate()
    let client = try client { server in goes.wait() }
    // As many as the socket does not take and more, so that the rest is collected into one message.
    for _ in 0..<20_000 where client.postFailure() != nil { Issue.record("it was lost before") }
    goes.open()
    #expect(eventually { client.postFailure().map(isEndOfStream) == true })
    let failure = await taskFailure { try await client.post(UInt32(1), .bar0, at: 0) }
    #expect(failure.map(isEndOfStream) == true)
  }
}

/// Requests of a server: the two for memory, and one that nobody knows.
private let requests = [
  message(.dmaRead, id: 1, longs([0, 64])),
  message(.dmaWrite, id: 2, longs([0, 8, 77])),
  message(Command(rawValue: 99), id: 3, [1, 2, 3]),
]

/// A peer that is gone, or that went with something of ours unread.
private func isEndOfStream(_ error: ClientError) -> Bool {
  switch error.reason {
  case .disconnected(.closedByPeer): true
  case .disconnected(.system(let failure)): [.brokenPipe, .connectionReset].contains(failure.code)
  default: false
  }
}

extension Client {
  /// What posting fails with.
  fileprivate func postFailure() -> ClientError? {
    VFIOUserClientTests.failure { () throws(ClientError) in try post(UInt32(1), .bar0, at: 0) }
  }
}

private func versionAnswer(_ hasTwin: Bool) -> [UInt8] {
  let json =
    hasTwin
    ? #"{"capabilities":{"twin_socket":{"supported":true,"fd_index":0}}}"#
    : ScriptedServer.usualCapabilities
  return [0, 0, 1, 0] + Array(json.utf8) + [0]
}

/// Negotiates with a server that goes after so many bytes of its answer, if they are not all.
private func negotiate(_ hasTwin: Bool, cutAt place: Int) throws(ClientError) {
  do {
    let running = try RunningScript { server in
      let bytes = ScriptedServer.reply(to: try server.receive(), versionAnswer(hasTwin))
      var list = DescriptorList()
      let (mine, theirs) = try MessageSocket.pair()
      if hasTwin { list.append(try theirs.descriptor.duplicate()) }
      if place > 0 { server.send(Array(bytes[..<place]), descriptors: list) }
      if place == bytes.count { try server.serve() }
      mine.shutdown()
    }
    _ = try Client(running.clientEnd, options: options(timeout: .seconds(30)))
  } catch let error as ClientError {
    throw error
  } catch {
    Issue.record(error)
  }
}

private func cutEverything() async throws {
  for replies in CutReplies.all {
    try await replies.forEachCut { place, makeClient in
      let client = try makeClient()
      let error = failure { () throws(ClientError) in try replies.operation.onThread(client, nil) }
      let reason = CutReplies.reason(place)
      #expect(
        error == .disconnected(reason),
        "\(replies.testDescription), \(place) bytes: \(String(describing: error))")
      #expect(client.state == .lost(reason), "\(replies.testDescription): \(client.state)")
    }
  }
  for hasTwin in [false, true] {
    for place in 0..<16 + versionAnswer(hasTwin).count {
      _ = failure { () throws(ClientError) in try negotiate(hasTwin, cutAt: place) }
    }
  }
}

private func checkThatNoCutLeavesADescriptor() async throws {
  // Whatever a process opens once and keeps is open by then.
  _ = try CutReplies.all.first?.client(cutting: 0, at: 0).deviceInfo
  let before = settledDescriptors()
  try await cutEverything()
  _ = eventually { openDescriptors() == before }
  #expect(openDescriptors() == before, "\(openDescriptors()), \(before) before")
}
