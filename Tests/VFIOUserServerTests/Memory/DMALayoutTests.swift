import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

/// What QEMU says about itself.
private let likeQEMU =
  #"{"max_data_xfer_size":1048576,"migration":{"pgsize":4096},"write_multiple":true}"#

@Suite struct `A client that looks like QEMU` {
  /// Answers the question, which has to be the first message.
  private func takeQuestion(_ client: MessageClient) throws -> UInt16 {
    let request = try client.peer.receive()
    #expect(request.header.command == .dmaRead)
    let count = try DMAAccess(decoding: request.payload.span).count
    #expect(count == 1 << 32)
    return request.header.id
  }

  @Test
  func `A client like QEMU 11 refuses the probe for the DMA message layout and is probed once`()
    throws
  {
    let client = try MessageClient(likeQEMU)
    let outcome = try client.startRead(8)
    let question = try takeQuestion(client)
    client.peer.send(message(.dmaRead, id: question, flags: [.reply, .error], error: 7))
    let request = try client.expect(.dmaRead)
    client.answerRead(request)
    #expect(try outcome.get() == MessageClient.content(request.access))
    try client.checkThatAllIsWell()
  }

  @Test(arguments: [1, 3, 4, 5, 64])
  func `A client like an older QEMU has DMA messages with a 32-bit count and data at offset 12`(
    size: Int
  ) throws {
    let client = try MessageClient(likeQEMU)
    let outcome = try client.startRead(size)
    let question = try takeQuestion(client)
    // Nothing was asked for, and the fixed part comes back.
    let echo = bytes(of: DMAAccess(address: MessageClient.base, count: 1 << 32))
    client.peer.send(message(.dmaRead, id: question, flags: .reply, echo))
    let request = try client.expect(.dmaRead)
    let data = (0..<size).map { UInt8($0 + 1) }
    let narrow = Array(bytes(of: request.access)[..<12])
    client.peer.send(
      message(.dmaRead, id: request.id, flags: .reply, narrow + data + [0, 0, 0, 0]))
    #expect(try outcome.get() == data)
    let write = try client.startWrite(data)
    let second = try client.peer.receive()
    #expect(second.payload == narrow + data + [0, 0, 0, 0])
    client.peer.send(message(.dmaWrite, id: second.header.id, flags: .reply))
    try write.get()
  }

  @Test func `A client like QEMU that does not answer the layout probe is probed again`() throws {
    let client = try MessageClient(likeQEMU) { $0.dmaTimeout = .milliseconds(50) }
    #expect(try client.startRead(8).error == .timedOut)
    _ = try takeQuestion(client)
    // It is asked again, and may go in the middle of it.
    let outcome = try client.startRead(8)
    _ = try takeQuestion(client)
    client.peer.socket.shutdown()
    #expect(outcome.error == .stale || outcome.error == .timedOut)
  }
}

@Suite struct `A twin socket` {
  private let twin = #"{"max_msg_fds":8,"twin_socket":{"supported":true}}"#

  /// Negotiates, and returns the client's end of the twin socket.
  private func connect(
    _ device: CallbackDevice, _ options: ServerOptions = ServerOptions()
  ) throws -> (main: ScriptedPeer, twin: ScriptedPeer) {
    let (mine, theirs) = try MessageSocket.pair()
    let server = try DeviceServer(device, options)
    try DetachedThread.start("server") { server.serve(theirs) }
    let json = Array(#"{"capabilities":\#(twin)}"#.utf8)
    let version = message(.version, [0, 0, 1, 0] + json + [0])
    var receiver = FrameReceiver(
      socket: mine, assembler: FrameAssembler(messageLimit: 4096, descriptorLimit: 8),
      messageTimeout: .seconds(10))
    try unsafe version.span.withUnsafeBytes { _ = try unsafe mine.trySend($0) }
    var frame = try receiver.next(before: .after(.seconds(10)), during: .receiving)
    let reply = try VersionMessage(decoding: receiver.assembler.payload(of: frame))
    #expect(reply.capabilities.twinSocket == TwinSocket(supported: true, descriptorIndex: 0))
    let count = frame.descriptors.count
    #expect(count == 1)
    let end = MessageSocket(adopting: OwnedDescriptor(adopting: try take(&frame.descriptors)))
    return (ScriptedPeer(mine), ScriptedPeer(end))
  }

  private func take(_ descriptors: inout DescriptorList) throws -> Int32 {
    guard let first = descriptors.takeFirst() else { throw MemoryError.stale }
    return first.release()
  }

  private func mapAndRead(_ main: ScriptedPeer, _ device: CallbackDevice) throws -> Outcome<[UInt8]>
  {
    let map = DMAMap(flags: .readable, address: 0x1000, size: 0x1000)
    #expect(try main.ask(message(.dmaMap, bytes(of: map))).errno == nil)
    let transfer = try device.bus.memory.access()
    return try Outcome { () throws(MemoryError) in try transfer.read(at: 0x1000, count: 4) }
  }

  @Test func `A twin socket carries the commands of the server and nothing else`() throws {
    let device = CallbackDevice()
    let (main, twin) = try connect(device)
    let outcome = try mapAndRead(main, device)
    let request = try twin.receive()
    #expect(request.header.command == .dmaRead)
    let answer = message(
      .dmaRead, id: request.header.id, flags: .reply, request.payload + [1, 2, 3, 4])
    // Not here.
    main.send(answer)
    #expect(try main.ask(message(.deviceReset, id: 3)).header.id == 3)
    #expect(!outcome.isThere)
    #expect(try twin.ask(message(.deviceReset, id: 5)).errno == 95)
    twin.send(answer)
    #expect(try outcome.get() == [1, 2, 3, 4])
  }

  @Test func `A broken twin socket ends the transfers but not the connection`() throws {
    let device = CallbackDevice()
    let (main, twin) = try connect(device)
    let outcome = try mapAndRead(main, device)
    _ = try twin.receive()
    twin.send(message(.dmaRead, flags: .reply, size: 3))
    #expect(outcome.error == .stale)
    #expect(try main.ask(message(.deviceReset, id: 3)).header.id == 3)
  }

  @Test func `A twin socket closes with its connection`() throws {
    let device = CallbackDevice()
    let (main, twin) = try connect(device)
    let outcome = try mapAndRead(main, device)
    _ = try twin.receive()
    main.socket.shutdown()
    #expect(outcome.error == .stale)
    #expect(throws: StreamError.closedByPeer) { try twin.receive() }
  }

  @Test func `A twin socket is not offered if it is disabled or not requested`() throws {
    for (json, offers) in [
      (twin, false), (#"{"max_msg_fds":8,"twin_socket":{"supported":false}}"#, true),
    ] {
      var options = ServerOptions()
      options.offersTwinSocket = offers
      let peer = try VFIOUserServerTests.connect(negotiated: false, options: options)
      let text = Array(#"{"capabilities":\#(json)}"#.utf8)
      let answer = try peer.ask(message(.version, [0, 0, 1, 0] + text + [0]))
      let reply = try VersionMessage(decoding: answer.payload.span)
      #expect(reply.capabilities == VFIOUserProtocol.Capabilities(maxMessageDescriptors: 8))
      #expect(answer.descriptorCount == 0)
    }
  }
}
