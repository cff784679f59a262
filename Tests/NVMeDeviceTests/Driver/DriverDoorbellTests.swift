import LinuxPrimitives
import NVMeDevice
import NVMeProtocol
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserServer
import VFIOUserTransport

@testable import NVMeDriver

/// Counts the messages of a client.
private struct MessageCounter: TraceSink {
  private let number = Monitor(0)

  var sent: Int { number.withLock { $0 } }

  func record(_ event: TraceEvent) {
    if case .sent = event { number.withLock { $0 += 1 } }
  }
}

@Suite(.timeLimit(.minutes(1))) struct `The driver's doorbells` {
  /// A disk, driven by `body`, and what counts the messages.
  private func drive(
    _ doorbells: NVMeConfiguration.DoorbellMode,
    _ body: (NVMeController, MessageCounter) throws -> Void
  ) throws {
    var options = NVMeConfiguration(
      namespaces: [NamespaceConfiguration(try StorageFile(memory: 4 << 20))])
    options.doorbells = doorbells
    let (device, server) = try serveDisk(options)
    let (mine, theirs) = try MessageSocket.pair()
    try DetachedThread.start("server") { server.serve(theirs) }
    defer { device.close() }
    let counter = MessageCounter()
    var clientOptions = ClientOptions()
    clientOptions.trace = counter
    let controller = try NVMeController(
      Client(mine, options: clientOptions), completionMode: .polling)
    defer { controller.client.disconnect() }
    try controller.enable()
    try body(controller, counter)
  }

  private func run(_ count: Int, on queue: QueuePair) throws {
    for _ in 0..<count { _ = try queue.submit(.flush(1)) }
    try queue.ring()
    var done = 0
    while done < count {
      let more = try queue.wait(for: .seconds(5)) { #expect($0.status.isSuccess) }
      try #require(more > 0)
      done += more
    }
  }

  @Test func `Where the device's memory has doorbells no command takes a message`() throws {
    try drive(.mapped) { controller, counter in
      #expect(try controller.mapDoorbells())
      let queue = try controller.createQueue(1, entries: 32)
      try run(1, on: queue)
      let before = counter.sent
      for _ in 0..<20 { try run(16, on: queue) }
      #expect(counter.sent == before)
    }
  }

  @Test func `They are mapped again after the controller was disabled`() throws {
    try drive(.mapped) { controller, counter in
      #expect(try controller.mapDoorbells())
      for _ in 0..<3 {
        let queue = try controller.createQueue(1, entries: 32)
        let before = counter.sent
        try run(16, on: queue)
        #expect(counter.sent == before)
        try controller.enable()
      }
    }
  }

  @Test func `Where they are trapped each ring is a message`() throws {
    try drive(.trapped) { controller, counter in
      #expect(try !controller.mapDoorbells())
      let queue = try controller.createQueue(1, entries: 32)
      let before = counter.sent
      try run(1, on: queue)
      #expect(counter.sent == before + 2)
    }
  }

  @Test func `A polled queue whose device does nothing is left after the time-out`() throws {
    try drive(.mapped) { controller, _ in
      let queue = try controller.createQueue(1, entries: 32)
      let start = Deadline.after(.zero).instant
      #expect(try queue.wait(for: .milliseconds(20)) { _ in } == 0)
      #expect(Deadline.after(.zero).instant - start >= 20_000_000)
    }
  }
}
