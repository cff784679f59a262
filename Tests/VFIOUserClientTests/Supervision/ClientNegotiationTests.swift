import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

/// What a client makes of an answer to its VERSION.
private func agree(
  _ payload: [UInt8], _ options: ClientOptions = ClientOptions()
) throws -> Result<VersionMessage, ClientError> {
  let running = try RunningScript { server in
    server.reply(to: try server.receive(), payload)
    try server.serve()
  }
  do throws(ClientError) {
    return .success(try Client(running.clientEnd, options: options).negotiatedVersion)
  } catch {
    return .failure(error)
  }
}

private func version(_ json: String, major: UInt8 = 0, minor: UInt8 = 1) -> [UInt8] {
  [major, 0, minor, 0] + Array(json.utf8) + [0]
}

/// Answers that no client takes, and what its refusal names.
private let refused: [(String, [UInt8], String)] = [
  ("another major version", version("{}", major: 1), "version 1.1"),
  ("a later minor version", version("{}", minor: 2), "version 0.2"),
  ("half a version", [0, 0, 1], "needs 4 bytes, has 3"),
  ("nothing at all", [], "needs 4 bytes, has 0"),
  ("text without its end", [0, 0, 1, 0] + Array("{}".utf8), "NUL"),
  ("a NUL within the text", version("{}\0{}"), "NUL"),
  ("something else than JSON", version("hello"), "JSON"),
  ("half an object", version(#"{"capabilities":"#), "JSON"),
  ("no object", version("[]"), "must be an object"),
  ("capabilities that are no object", version(#"{"capabilities":3}"#), "capabilities"),
  ("something behind the object", version("{}{}"), "JSON"),
  ("a comma without a field", version(#"{"capabilities":{,}}"#), "JSON"),
  ("a lone surrogate", version(#"{"capabilities":{"\uD800":1}}"#), "capabilities"),
  ("bytes that are no UTF-8", [0, 0, 1, 0, 0x7B, 0xFF, 0xFE, 0x7D, 0], "UTF-8"),
  ("a thousand arrays in one another", version(String(repeating: "[", count: 1000)), "nested"),
  ("NaN", version(#"{"capabilities":{"max_msg_fds":NaN}}"#), "JSON"),
  ("too much text", version(String(repeating: " ", count: 5000) + "{}"), "JSON of"),
  (
    "more text than a message of its kind has", version(String(repeating: " ", count: 9000)), "8192"
  ),
]

/// Fields that no client takes.
private let refusedFields: [(field: String, value: String)] = [
  ("max_msg_fds", "0"), ("max_msg_fds", "-1"), ("max_msg_fds", "4294967296"),
  ("max_msg_fds", #""8""#), ("max_msg_fds", "1.5"), ("max_msg_fds", "null"),
  ("max_data_xfer_size", "0"), ("max_data_xfer_size", "-4096"),
  ("max_data_xfer_size", "18446744073709551616"),
  ("max_data_xfer_size", "true"), ("max_data_xfer_size", "[]"),
  ("max_dma_maps", "0"), ("max_dma_maps", "-1"), ("max_dma_maps", "1e400"),
  ("max_dma_maps", "{}"),
  ("pgsizes", "0"), ("pgsizes", "-4096"), ("pgsizes", "4095"), ("pgsizes", "1"),
  ("pgsizes", #""4096""#),
  ("write_multiple", "1"), ("write_multiple", #""true""#), ("write_multiple", "null"),
  ("twin_socket", "true"), ("twin_socket", "[1]"),
  ("twin_socket.supported", "1"), ("twin_socket.fd_index", "-1"),
  ("twin_socket.fd_index", "4294967296"), ("twin_socket.fd_index", #""0""#),
  ("migration", "1"), ("migration.pgsize", "0"), ("migration.pgsize", "4097"),
  ("migration.pgsize", "-1"), ("migration.max_bitmap_size", "0"),
]

@Suite struct `A client that negotiates` {
  @Test(arguments: refused)
  func `A client refuses an incompatible or malformed VERSION reply`(
    _ name: String, _ payload: [UInt8], _ text: String
  ) throws {
    guard case .failure(let error) = try agree(payload),
      case .negotiationFailed(let why) = error.reason
    else {
      Issue.record("it took \(name), or failed otherwise")
      return
    }
    #expect(why.contains(text))
  }

  @Test(arguments: refusedFields)
  func `A client refuses an invalid capability and names it in the error`(
    _ field: String, _ value: String
  ) throws {
    let parts = field.split(separator: ".")
    let json =
      parts.count == 1
      ? #"{"\#(parts[0])":\#(value)}"# : #"{"\#(parts[0])":{"\#(parts[1])":\#(value)}}"#
    let result = try agree(version(#"{"capabilities":\#(json)}"#))
    guard case .failure(let error) = result, case .negotiationFailed(let why) = error.reason else {
      Issue.record("it took \(field) \(value), or failed otherwise")
      return
    }
    // A number that JSON itself does not allow has no field yet.
    #expect(why.contains(field) || value.contains("e400") || value.count > 19, "\(why)")
  }

  @Test(arguments: [
    [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 1, 0, 0], version("{}"), version(#"{"capabilities":{}}"#),
  ])
  func `A client assumes the specification's defaults for capabilities left out of the reply`(
    _ payload: [UInt8]
  ) throws {
    let capabilities = try agree(payload).get().capabilities
    #expect(capabilities.effectiveMaxMessageDescriptors == 1)
    #expect(capabilities.effectiveMaxDataTransfer == 1 << 20)
    #expect(capabilities.effectiveMaxDMAWindows == 65535)
    #expect(capabilities.effectivePageSizes == 4096)
    #expect(!capabilities.effectiveWriteMultiple)
    #expect(!capabilities.effectiveTwinSocket.supported)
  }

  @Test func `A client ignores capabilities in the reply that it did not propose`() throws {
    var options = ClientOptions()
    options.proposal.writeMultiple = false
    options.proposal.twinSocket = nil
    let json = #"""
      {"capabilities":{"write_multiple":true,"migration":{"pgsize":4096},
      "twin_socket":{"supported":true,"fd_index":0}}}
      """#
    let capabilities = try agree(version(json), options).get().capabilities
    #expect(!capabilities.effectiveWriteMultiple)
    #expect(capabilities.migration == nil)
    #expect(capabilities.twinSocket == nil)
  }

  @Test func `A client takes limits above its own as the limits of the server`() throws {
    var options = ClientOptions()
    options.proposal.maxMessageDescriptors = 2
    options.proposal.maxDataTransfer = 4096
    options.maxAccess = 1 << 20
    let json = #"{"capabilities":{"max_msg_fds":5,"max_data_xfer_size":8192,"max_dma_maps":70000}}"#
    let seen = Notes<[Int]>()
    let client = try client(options, of: json) { server in
      for _ in 0..<2 {
        let request = try server.receive()
        seen.add([request.descriptorCount, Int(request.word(at: 12))])
        server.answer(request)
      }
      // What it asks for is bounded by the client's number.
      let answer = try server.ask(message(.dmaRead, longs([0, 4097])))
      seen.add([Int(answer.header.error)])
      try server.serve()
    }
    let counter = try EventFD()
    try client.setTriggers(.msix, Array(repeating: counter, count: 5))
    #expect(try client.read(.bar0, at: 0, count: 8192).count == 8192)
    let memory = try SharedMemory(size: 8192)
    try client.map(memory, at: 0, size: 8192)
    #expect(seen.wait(for: 3) == [[5, 0], [0, 8192], [7]])
  }

  /// What a user may write and no message could hold.
  @Test func `A client proposes no larger data transfer than it can receive`() throws {
    var options = ClientOptions()
    options.proposal.maxDataTransfer = .max
    options.maxAccess = .max
    let most = UInt64(Limits.maxDataTransfer)
    let proposed = Notes<String>()
    let answers = Notes<UInt32>()
    let running = try RunningScript { server in
      let version = try server.receive()
      proposed.add(String(decoding: version.payload.dropFirst(4), as: UTF8.self))
      server.reply(to: version, [0, 0, 1, 0, 0x7B, 0x7D, 0])
      server.answer(try server.receive())
      for count in [UInt64(UInt32.max), most + 1] {
        answers.add(try server.ask(message(.dmaRead, longs([0, count]))).header.error)
      }
      answers.add(try server.ask(message(.dmaRead, longs([0, most]))).header.size)
      try server.serve()
    }
    let client = try Client(running.clientEnd, options: options)
    let memory = try SharedMemory(size: 4 << 30)
    try client.map(memory, at: 0, size: 4 << 30)
    #expect(answers.wait(for: 3) == [7, 7, 16 + 16 + Limits.maxDataTransfer])
    #expect(proposed.all.first?.contains(#""max_data_xfer_size":67108864"#) == true)
  }

  @Test func `A client reports the errno with which the server refuses VERSION`() throws {
    let running = try RunningScript { server in
      server.reply(to: try server.receive(), error: 16)
    }
    #expect(throws: ClientError.refused(.version, .resourceBusy)) { try Client(running.clientEnd) }
  }

  @Test func `Negotiation fails when the server does not answer VERSION or disconnects`() throws {
    let gate = Gate()
    let silent = try RunningScript { _ in gate.wait() }
    #expect(throws: ClientError.timedOut(.version)) {
      try Client(silent.clientEnd, options: options(timeout: .milliseconds(30)))
    }
    gate.open()
    let going = try RunningScript { _ = try $0.receive() }
    #expect(throws: ClientError.disconnected(.closedByPeer)) { try Client(going.clientEnd) }
  }

  @Test func `A client sends its proposed capabilities in VERSION`() throws {
    let proposals = Notes<VersionMessage>()
    let running = try RunningScript { server in
      let request = try server.receive()
      proposals.add(try VersionMessage(decoding: request.payload.span))
      server.reply(to: request, version("{}"))
      try server.serve()
    }
    let client = try Client(running.clientEnd)
    #expect(client.negotiatedVersion == VersionMessage(major: 0, minor: 1))
    let proposal = try #require(proposals.all.first)
    #expect(proposal == VersionMessage(major: 0, minor: 1, capabilities: ClientOptions().proposal))
  }

  @Test func `Connecting to a path where nobody listens fails with ENOENT`() {
    let path = FilePath("/tmp/vfio-user-nobody-\(UInt64.random(in: 0 ... .max)).sock")
    let error = SystemCallError(call: "connect", code: .noSuchFileOrDirectory)
    #expect(throws: ClientError.system(error)) { try Client(connectingTo: path) }
  }
}
