import Logging
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

/// Remembers what it saw.
private struct Recorder: TraceSink {
  let events = Notes<TraceEvent>()

  func record(_ event: TraceEvent) { events.add(event) }

  /// Each event as a word and what matters of it.
  var summary: [String] { events.all.map(Self.summarize) }

  static func summarize(_ event: TraceEvent) -> String {
    switch event {
    case .sent(_, let command, let size): "sent \(command) \(size)"
    case .received(let header):
      "received \(header.flags.isReply ? "reply" : "command") \(header.command) \(header.size)"
    case .request(let command, let bytes): "request \(command) \(bytes)"
    case .unexpectedReply(let header): "unexpected \(header.command) \(header.id)"
    case .lateReply(let header): "late \(header.command)"
    case .version(let major, let minor): "version \(major).\(minor)"
    case .device(let info): "device \(info.regionCount)"
    case .regionInfo(let info): "region \(info.index) \(info.size)"
    case .interruptInfo(let info): "interrupt type \(info.index)"
    case .dma(let command, let address, let size): "dma \(command) \(address) \(size)"
    case .region(let command, let access): "region \(command) \(access.offset) \(access.count)"
    case .interrupts(let request): "interrupts \(request.index) \(request.count)"
    case .coalesced(let writes): "coalesced \(writes > 0)"
    case .lost(let failure): "lost \(failure)"
    case .reconnected(let attempts): "reconnected \(attempts)"
    }
  }
}

@Suite struct `A trace of a client` {
  /// What is seen of an operation, without the negotiation before it.
  static func events(
    _ script: @escaping @Sendable (ScriptedServer) throws -> Void = { try $0.serve() },
    _ operation: (Client) throws -> Void
  ) throws -> [String] {
    let recorder = Recorder()
    var options = ClientOptions()
    options.trace = recorder
    let client = try client(options, script: script)
    let before = recorder.summary.count
    try operation(client)
    return Array(recorder.summary[before...])
  }

  @Test func `A trace shows the negotiation`() throws {
    let recorder = Recorder()
    var options = ClientOptions()
    options.trace = recorder
    _ = try client(options, of: "{}") { try $0.serve() }
    let seen = recorder.summary
    #expect(seen.first == "version 0.1")
    #expect(seen[1].hasPrefix("sent VERSION "))
    #expect(
      seen[2...] == [
        "received reply VERSION 23", "version 0.1", "lost the connection was closed on this side",
      ])
  }

  @Test func `A trace shows a read and a write of a region`() throws {
    let seen = try Self.events { client in
      _ = try client.load(.bar0, at: 8, as: UInt32.self)
      try client.store(UInt16(1), .bar0, at: 6)
    }
    #expect(
      seen == [
        "region REGION_READ 8 4", "sent REGION_READ 32", "received reply REGION_READ 36",
        "region REGION_WRITE 6 2", "sent REGION_WRITE 34", "received reply REGION_WRITE 32",
      ])
  }

  @Test func `A trace shows DMA windows and interrupts`() throws {
    let seen = try Self.events { client in
      try client.map(try SharedMemory(size: 4096), at: 4096, size: 4096)
      try client.unmap(at: 4096, size: 4096)
      try client.setMask(true, on: .intx)
      try client.setTriggers(.msix, try [EventFD(), EventFD()])
    }
    #expect(
      seen == [
        "dma DMA_MAP 4096 4096", "sent DMA_MAP 48", "received reply DMA_MAP 16",
        "dma DMA_UNMAP 4096 4096", "sent DMA_UNMAP 40", "received reply DMA_UNMAP 40",
        "interrupts INTx 1", "sent DEVICE_SET_IRQS 36", "received reply DEVICE_SET_IRQS 16",
        "interrupts MSI-X 2", "sent DEVICE_SET_IRQS 36", "received reply DEVICE_SET_IRQS 16",
      ])
  }

  @Test func `A trace shows requests of the server and unexpected replies`() throws {
    let seen = try Self.events({ server in
      let request = try server.receive()
      server.send(
        message(.deviceReset, id: 4711, flags: .reply) + message(.dmaRead, longs([0, 1])))
      _ = try server.receive()
      server.answer(request)
      try server.serve()
    }) { _ = try $0.deviceInfo() }
    #expect(
      seen == [
        "sent DEVICE_GET_INFO 32", "received reply DEVICE_RESET 16", "unexpected DEVICE_RESET 4711",
        "received command DMA_READ 32", "request DMA_READ 16", "sent DMA_READ 16",
        "received reply DEVICE_GET_INFO 32", "device 9",
      ])
  }

  @Test func `A trace shows late replies and the loss of the connection`() throws {
    let gate = Gate()
    let seen = try Self.events({ server in
      let request = try server.receive()
      gate.wait()
      server.answer(request)
      _ = try server.receive()
      server.send(message(.deviceReset, size: 1))
      _ = try server.receive()
    }) { client in
      try? client.reset(timeout: .milliseconds(10))
      gate.open()
      _ = try? client.deviceInfo()
    }
    #expect(
      seen == [
        "sent DEVICE_RESET 16", "sent DEVICE_GET_INFO 32", "received reply DEVICE_RESET 16",
        "late DEVICE_RESET", "lost a message claims 1 bytes, its header alone has 16",
      ])
  }

  @Test func `A trace shows posted writes that are sent together`() throws {
    let gate = Gate()
    let seen = try Self.events({ server in
      gate.wait()
      try server.serve()
    }) { client in
      for value in 0..<3000 as Range<UInt32> { try client.post(value, .bar0, at: 0) }
      gate.open()
      _ = try client.deviceInfo()
    }
    #expect(seen.contains("coalesced true"))
  }

  @Test func `A trace shows device information and the accesses of tasks and posts`() async throws {
    let recorder = Recorder()
    var options = ClientOptions()
    options.trace = recorder
    let client = try client(options) { try $0.serve() }
    let before = recorder.summary.count
    _ = try await client.region(.bar2)
    _ = try await client.interruptInfo(.msix)
    _ = try await client.load(.bar0, at: 4, as: UInt8.self)
    try await client.store(UInt8(1), .bar0, at: 5)
    try await client.post(UInt8(1), .bar0, at: 6)
    try await client.post(.bar0, at: 7, from: [1, 2])
    try await client.unmapAll()
    let seen = recorder.summary[before...].filter {
      !$0.hasPrefix("sent") && !$0.hasPrefix("received")
    }
    #expect(
      seen == [
        "region BAR2 4294967296", "interrupt type MSI-X", "region REGION_READ 4 1",
        "region REGION_WRITE 5 1", "region REGION_WRITE 6 1", "region REGION_WRITE 7 2",
        "dma DMA_UNMAP 0 0",
      ])
  }

  @Test func `A trace goes to swift-log at the log level trace`() throws {
    for (level, isSeen) in [(Logger.Level.trace, true), (.debug, false)] {
      let lines = Notes<String>()
      var logger = Logger(label: "test") { _ in NotingLogHandler(lines) }
      logger.logLevel = level
      var options = ClientOptions()
      options.trace = LoggingTraceSink(logger)
      let client = try client(options) { try $0.serve() }
      _ = try client.load(.bar0, at: 8, as: UInt32.self)
      #expect(lines.all.contains { $0.contains("region(REGION_READ") } == isSeen)
      #expect(lines.all.isEmpty == !isSeen)
    }
  }
}

/// Keeps what is logged.
private struct NotingLogHandler: LogHandler {
  let lines: Notes<String>
  var metadata = Logger.Metadata()
  var logLevel = Logger.Level.info

  init(_ lines: Notes<String>) { self.lines = lines }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) { lines.add("\(event.message)") }
}
