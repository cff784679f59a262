import LinuxPrimitives
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserInspection

@Suite(.timeLimit(.minutes(1))) struct `A replay` {
  private static let access = RegionAccess(offset: 0x1C, region: .bar0, count: 4)
  private static let memory = DescriptorNote(kind: "memfd", size: 0x2000, inode: 5, name: "ram")

  /// A client that maps memory, reads a register, and answers the server from its memory.
  private static let recorded: [TracedMessage] = [
    traced(.toServer, message(.version, id: 1, version(#"{"capabilities":{}}"#))),
    traced(.toClient, message(.version, id: 1, flags: .reply, version("") + [0])),
    traced(
      .toServer,
      message(
        .dmaMap, id: 2,
        bytes(of: DMAMap(flags: [.readable, .writable], address: 0x1000, size: 0x2000))),
      descriptors: [memory]),
    traced(.toClient, message(.dmaMap, id: 2, flags: .reply)),
    traced(.toServer, message(.regionRead, id: 3, bytes(of: access))),
    traced(.toClient, message(.dmaRead, id: 9, bytes(of: DMAAccess(address: 0x1800, count: 2)))),
    traced(
      .toServer,
      message(
        .dmaRead, id: 9, flags: .reply,
        bytes(of: DMAAccess(address: 0x1800, count: 2)) + [0xAB, 0xCD])),
    traced(
      .toClient, message(.regionRead, id: 3, flags: .reply, bytes(of: access) + [1, 2, 3, 4])),
  ].enumerated().map { index, message in
    var message = message
    message.number = index + 1
    return message
  }

  /// What a server does with the recorded client's commands.
  private struct Script: Sendable {
    var value: [UInt8] = [1, 2, 3, 4]
    var error: UInt32 = 0
    var asksMemory = true
    var ends = false
    /// Whether the next command gets no reply, until the client has gone.
    var isSilent = false
    /// What it got for its DMA_READ.
    let read = Monitor<[UInt8]>([])
    /// The tags of descriptors.
    let tags = Monitor<[Int]>([])

    func serve(_ server: ScriptedServer) throws {
      try server.agree("")
      _ = try server.receive()
      if let file = server.takeDescriptor() { tags.update { $0.append(tag(of: file)) } }
      server.send(message(.dmaMap, id: 2, flags: .reply))
      let request = try server.receive()
      if ends { return server.socket.shutdown() }
      if asksMemory {
        let answer = try server.ask(
          message(.dmaRead, id: 9, bytes(of: DMAAccess(address: 0x1800, count: 2))))
        read.update { $0 = answer.payload }
      }
      server.reply(to: request, error == 0 ? bytes(of: access) + value : [], error: error)
      while isSilent { _ = try server.receive() }
    }
  }

  private func play(
    _ script: Script, masks: [ReplayMask] = [], ignoring: Set<Command> = [],
    timeout: Duration = .seconds(5), _ messages: [TracedMessage] = recorded
  ) throws -> ReplayReport {
    let (client, theirs) = try MessageSocket.pair()
    try DetachedThread.start("test-server") { try? script.serve(ScriptedServer(theirs)) }
    var run = ReplayRun(messages, to: client, masks: masks, ignoring: ignoring, timeout: timeout)
    return run.run()
  }

  @Test func `A server that answers as recorded is equal`() throws {
    let script = Script()
    let report = try play(script)
    #expect(report.isEqual, "\(report.differences)")
    #expect((report.commands, report.replies) == (3, 3))
    #expect((report.requests, report.recordedRequests) == (1, 1))
    // The recorded memory was there, in a file of the recorded size.
    #expect(script.read.withLock { Array($0.suffix(2)) } == [0xAB, 0xCD])
    #expect(script.tags.withLock { $0 } == [0x2000])
  }

  @Test func `A server that asks less often than recorded is not waited for long`() throws {
    var script = Script()
    script.asksMemory = false
    let report = try play(script)
    #expect(report.isEqual && report.requests == 0 && report.recordedRequests == 1)
  }

  @Test func `A place that is read again has its recorded contents in order, then the last`() throws
  {
    let access = DMAAccess(address: 0x1800, count: 2)
    let answers: [[UInt8]] = [[1, 2], [3, 4]]
    var reads = RecordedReads(
      answers.map {
        traced(.toServer, message(.dmaRead, flags: .reply, bytes(of: access) + $0))
      })
    #expect(reads.next(DMAAccess(address: 0x1800, count: 1)) == nil)
    #expect(reads.next(access) == [1, 2])
    #expect(reads.next(access) == [3, 4])
    #expect(reads.next(access) == nil)
  }

  @Test func `The first byte that differs is named`() throws {
    var script = Script()
    script.value = [1, 2, 9, 4]
    let report = try play(script)
    #expect(report.differing == 1)
    #expect(report.differences.first?.text == "bar0+0x1e is 0x09 instead of 0x03")
    #expect(report.differences.first?.message == 8)
  }

  @Test(arguments: [
    ("bar0:0x1e", true), ("bar0:28-31", true), ("bar0", true), ("bar0:0x1d", false),
    ("bar1", false),
  ])
  func `Masked bytes may differ`(mask: String, isEqual: Bool) throws {
    var script = Script()
    script.value = [1, 2, 9, 4]
    let report = try play(script, masks: [try #require(ReplayMask(text: mask))])
    #expect(report.isEqual == isEqual && report.masked == (isEqual ? 1 : 0))
  }

  @Test func `An error instead of success differs`() throws {
    var script = Script()
    script.error = 22
    #expect(try play(script).differences.first?.text == "EINVAL (22) instead of success")
    #expect(try play(script, ignoring: [.regionRead]).isEqual)
  }

  @Test func `A reply that does not come differs`() throws {
    var script = Script()
    script.asksMemory = false
    script.isSilent = true
    let report = try play(
      script, timeout: .milliseconds(50),
      Self.recorded.prefix(5) + [
        traced(
          .toClient,
          message(.regionRead, id: 3, flags: .reply, bytes(of: Self.access) + [1, 2, 3, 4])),
        traced(.toServer, message(.deviceReset, id: 4)),
        traced(.toClient, message(.deviceReset, id: 4, flags: .reply)),
      ])
    #expect(report.differences.map(\.command) == [.deviceReset])
    #expect(report.differences.first?.text == "no reply within 0.05 seconds")
  }

  @Test func `A server that goes ends the replay`() throws {
    var script = Script()
    script.ends = true
    let report = try play(script)
    #expect(!report.isEqual && report.interruption?.contains("closed") == true)
  }

  @Test func `A command of which the recording has a part is sent with zeros`() throws {
    var messages = Self.recorded
    messages[4].bytes.removeLast(4)
    var script = Script()
    script.value = []
    script.asksMemory = false
    let report = try play(script, messages)
    #expect(report.padded == 1 && report.commands == 3)
  }

  @Test func `The server gets nothing outside of windows`() {
    var memory = MadeUpMemory()
    #expect(memory.read(DMAAccess(address: 0, count: 4)) == nil)
    #expect(throws: Never.self) {
      try memory.map(DMAMap(flags: [.readable], address: 0x1000, size: 0x1000), nil)
      try memory.map(DMAMap(flags: [.readable], address: 0x2000, size: 0x1000), nil)
    }
    let data: [UInt8] = [1, 2, 3, 4]
    let isWritten = memory.write(DMAAccess(address: 0x1FFE, count: 4), data.span)
    #expect(isWritten)
    #expect(memory.read(DMAAccess(address: 0x1FFE, count: 4)) == [1, 2, 3, 4])
    #expect(memory.read(DMAAccess(address: 0x2FFE, count: 4)) == nil)
    #expect(memory.read(DMAAccess(address: .max, count: 4)) == nil)
    #expect(memory.read(DMAAccess(address: 0x1000, count: .max)) == nil)
  }

  @Test(arguments: ["", "bar0:", "bar0:x", "bar0:4-3", "bar0:1:2", "bar0:1-2-3", "nothing:4"])
  func `A text that is no mask is refused`(text: String) {
    #expect(ReplayMask(text: text) == nil)
  }
}
