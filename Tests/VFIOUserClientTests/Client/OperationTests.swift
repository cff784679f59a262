import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserClient

/// A server that reads everything, answers nothing, and notes what it was asked.
private func silentClient(_ asked: Notes<Command> = Notes()) throws -> Client {
  try client(options(timeout: .seconds(60))) { server in
    while true { asked.add(try server.receive().command) }
  }
}

@Suite struct `Every operation` {
  @Test(arguments: Operation.all)
  func `Every operation of a thread ends at its own timeout`(_ operation: Operation) throws {
    let client = try silentClient()
    let error = failure { () throws(ClientError) in
      try operation.onThread(client, .milliseconds(20))
    }
    #expect(error == .timedOut(operation.command))
    #expect(client.failure == nil)
  }

  @Test(arguments: Operation.all)
  func `Every operation of a task ends at its own timeout`(_ operation: Operation) async throws {
    let client = try silentClient()
    let error = await taskFailure { () async throws in
      try await operation.inTask(client, .milliseconds(20))
    }
    #expect(error == .timedOut(operation.command))
    #expect(client.failure == nil)
  }

  @Test(arguments: Operation.all)
  func `Every operation of a task can be cancelled without ending the connection`(
    _ operation: Operation
  ) async throws {
    let asked = Notes<Command>()
    let client = try silentClient(asked)
    let task = Task {
      await taskFailure { () async throws in try await operation.inTask(client, nil) }
    }
    while asked.all.isEmpty, client.failure == nil { try await Task.sleep(for: .milliseconds(1)) }
    task.cancel()
    #expect(await task.value == .cancelled)
    #expect(asked.all.first == operation.command)
    #expect(client.failure == nil)
  }

  @Test(arguments: Operation.all)
  func `Every operation fails with the reason once the connection is lost`(_ operation: Operation)
    async throws
  {
    let client = try client { _ in }
    _ = failure { () throws(ClientError) in try client.reset(timeout: nil) }
    let lost = ClientError.disconnected(.closedByPeer)
    #expect(failure { () throws(ClientError) in try operation.onThread(client, nil) } == lost)
    let error = await taskFailure { () async throws in
      try await operation.inTask(client, nil)
    }
    #expect(error == lost)
  }

  @Test(arguments: Operation.all)
  func `Every operation reports a refusal, and the connection stays usable`(_ operation: Operation)
    async throws
  {
    let client = try client { server in
      for _ in 0..<2 { server.reply(to: try server.receive(), error: 16) }
      try server.serve()
    }
    // Operations that send several messages at once would be refused more often than twice.
    guard !["read in pieces", "transaction"].contains(operation.testDescription) else { return }
    let refused = ClientError.refused(operation.command, .resourceBusy)
    #expect(failure { () throws(ClientError) in try operation.onThread(client, nil) } == refused)
    let error = await taskFailure { () async throws in
      try await operation.inTask(client, nil)
    }
    #expect(error == refused)
    #expect(try await client.deviceInfo().regionCount == 9)
  }
}

@Suite struct `The timeout of an operation` {
  @Test func `The timeout of an operation covers all of its messages`() throws {
    let client = try client(
      options(timeout: .seconds(60)), of: #"{"capabilities":{"max_data_xfer_size":4}}"#
    ) { server in
      let gate = Gate()
      for _ in 0..<3 { server.answer(try server.receive()) }
      gate.wait()
    }
    let error = failure { () throws(ClientError) in
      _ = try client.read(.bar0, at: 0, count: 100, timeout: .milliseconds(200))
    }
    #expect(error == .timedOut(.regionRead))
  }

  @Test func `Tasks that post while the backlog is full take turns, and none fails`() async throws {
    let gate = Gate()
    let bytes = Monitor(0)
    let client = try client(options(timeout: .seconds(60))) { server in
      gate.wait()
      while true {
        let request = try server.receive()
        if request.command == .regionWrite { bytes.update { $0 += request.payload.count - 16 } }
        server.answer(request)
      }
    }
    let connection = client.supervisor.last.connection
    let data = [UInt8](repeating: 1, count: 256 << 10)
    let access = RegionAccess(offset: 0, region: .bar0, count: UInt32(data.count))
    var posted = 0
    while try connection.tryPost(access, data.span) { posted += 1 }
    #expect(try !connection.tryPost(access, data.span))
    async let failures = postAll(client, data)
    gate.open()
    #expect(await failures == [])
    _ = try await client.deviceInfo()
    #expect(bytes.withLock { $0 } == (posted + 16 * 8) * data.count)
  }

  /// Posts from 16 tasks, 8 times each.
  private func postAll(_ client: Client, _ data: [UInt8]) async -> [ClientError] {
    await withTaskGroup(of: ClientError?.self) { group in
      for _ in 0..<16 {
        group.addTask {
          await taskFailure {
            for _ in 0..<8 { try await client.post(.bar0, at: 0, from: data) }
          }
        }
      }
      return await group.reduce(into: []) { if let error = $1 { $0.append(error) } }
    }
  }

  @Test func `A post times out while the backlog is full, without ending the connection`()
    async throws
  {
    let gate = Gate()
    let client = try client(
      options(timeout: .seconds(60)), of: #"{"capabilities":{"max_msg_fds":8}}"#
    ) { server in
      gate.wait()
      try server.serve()
    }
    let bytes = [UInt8](repeating: 1, count: 1 << 20)
    // A mebibyte may wait, and the socket takes a little.
    for _ in 0..<3 { try? await client.post(.bar0, at: 0, from: bytes, timeout: .milliseconds(20)) }
    let error = await taskFailure { () async throws in
      try await client.post(.bar0, at: 0, from: bytes, timeout: .milliseconds(20))
    }
    #expect(error == .timedOut(.regionWrite))
    let onThread = try Later {
      failure { () throws(ClientError) in
        try client.post(UInt8(1), .bar0, at: 0, timeout: .milliseconds(20))
      }
    }
    #expect(try onThread.get() == .timedOut(.regionWrite))
    #expect(client.failure == nil)
    gate.open()
    #expect(try await client.deviceInfo().regionCount == 9)
  }
}
