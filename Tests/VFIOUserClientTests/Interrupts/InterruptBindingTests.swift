import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

@Suite struct `A callback of an eventfd` {
  @Test func `An eventfd callback gets the count, including signals from before it was bound`()
    throws
  {
    let counts = Notes<UInt64>()
    let dispatcher = try EventDispatcher()
    let counter = try EventFD()
    counter.signal()
    counter.signal()
    let binding = try dispatcher.bind(counter) { counts.add($0) }
    #expect(counts.wait(for: 1) == [2])
    counter.signal()
    #expect(counts.wait(for: 2) == [2, 1])
    binding.unbind()
    counter.signal()
    #expect(!eventually(within: .milliseconds(30)) { counts.all.count > 2 })
    #expect(counter.take() == 1)
  }

  @Test func `A dispatcher runs one eventfd callback at a time and misses no signal`() throws {
    let dispatcher = try EventDispatcher()
    let inside = Monitor(0)
    let overlaps = Notes<Int>()
    let total = Monitor([UInt64](repeating: 0, count: 16))
    var bindings: [EventBinding] = []
    for number in 0..<16 {
      bindings.append(
        try dispatcher.bind(EventFD()) { count in
          let others = inside.withLock { value in
            value += 1
            return value - 1
          }
          if others > 0 { overlaps.add(others) }
          total.update { $0[number] += count }
          inside.withLock { $0 -= 1 }
        })
    }
    let counters = bindings.map(\.counter)
    try onThreads(4) { _ in
      for round in 0..<4000 { counters[round % 16].signal() }
    }
    #expect(eventually { total.withLock { $0.allSatisfy { $0 == 1000 } } })
    #expect(overlaps.all == [])
  }

  @Test func `Unbinding waits until the eventfd callback has returned`() throws {
    let dispatcher = try EventDispatcher()
    let counter = try EventFD()
    let entered = Gate()
    let leave = Gate()
    let hasLeft = Notes<Void>()
    let binding = try dispatcher.bind(counter) { _ in
      entered.open()
      leave.wait()
      hasLeft.add(())
    }
    counter.signal()
    #expect(entered.wait())
    let unbound = try Later { () -> Int in
      binding.unbind()
      return hasLeft.all.count
    }
    #expect(!eventually(within: .milliseconds(30)) { unbound.isDone })
    leave.open()
    #expect(try unbound.get() == 1)
  }

  @Test func `An eventfd callback may unbind itself and others`() throws {
    let dispatcher = try EventDispatcher()
    let (one, other) = (try EventFD(), try EventFD())
    let kept = Notes<EventBinding>()
    let called = Notes<Int>()
    kept.add(try dispatcher.bind(other) { _ in called.add(2) })
    kept.add(
      try dispatcher.bind(one) { _ in
        for binding in kept.all { binding.unbind() }
        called.add(1)
      })
    one.signal()
    #expect(called.wait(for: 1) == [1])
    one.signal()
    other.signal()
    #expect(!eventually(within: .milliseconds(30)) { called.all.count > 1 })
  }

  @Test func `A second callback for a bound eventfd is refused with EEXIST`() throws {
    let dispatcher = try EventDispatcher()
    let counter = try EventFD()
    let binding = try dispatcher.bind(counter) { _ in }
    #expect(throws: SystemCallError(call: "epoll_ctl", code: .fileExists)) {
      try dispatcher.bind(counter) { _ in }
    }
    binding.unbind()
    let another = try dispatcher.bind(counter) { _ in }
    another.unbind()
  }

  @Test func `An event dispatcher leaves no thread and no descriptor behind`() async {
    await #expect(processExitsWith: .success) {
      try bindAndForget("vfu-warm")
      let before = settledDescriptors()
      for _ in 0..<50 { try bindAndForget("vfu-test") }
      #expect(eventually { threadsNamed("vfu-test") == 0 })
      #expect(eventually { openDescriptors() == before })
    }
  }
}

private func bindAndForget(_ name: String) throws {
  let dispatcher = try EventDispatcher(name)
  let called = Gate()
  let counter = try EventFD()
  let binding = try dispatcher.bind(counter) { _ in called.open() }
  counter.signal()
  #expect(called.wait())
  _ = consume binding
}

@Suite struct `Eventfds` {
  @Test func `Several eventfds are waited for together`() throws {
    let counters = try (0..<5).map { _ in try EventFD() }
    #expect(EventFD.wait(forAnyOf: counters, for: .milliseconds(5)) == [])
    counters[1].signal()
    counters[4].signal()
    #expect(EventFD.wait(forAnyOf: counters, for: .seconds(60)) == [1, 4])
    #expect(counters[1].take() == 1)
    #expect(EventFD.wait(forAnyOf: counters, for: .seconds(60)) == [4])
  }

  @Test func `An eventfd lends its descriptor for polling`() throws {
    let counter = try EventFD()
    #expect(!counter.withDescriptor { EventPoll.isReadable($0, for: .zero) })
    counter.signal()
    #expect(counter.withDescriptor { EventPoll.isReadable($0, for: .zero) })
  }
}

/// What SET_IRQS says: data and action, index, start, count, descriptors.
struct InterruptRequest: Equatable, Sendable {
  let flags: UInt32
  let index: UInt32
  let start: UInt32
  let count: UInt32
  let descriptors: Int

  init(_ message: ScriptedServer.Message) {
    flags = message.word(at: 4)
    index = message.word(at: 8)
    start = message.word(at: 12)
    count = message.word(at: 16)
    descriptors = message.descriptorCount
  }

  init(_ flags: UInt32, _ index: UInt32, _ start: UInt32, _ count: UInt32, _ descriptors: Int) {
    self.flags = flags
    self.index = index
    self.start = start
    self.count = count
    self.descriptors = descriptors
  }
}

/// A client whose server notes what it is told of interrupts, and keeps the counters.
private func client(
  _ seen: Notes<InterruptRequest>, _ kept: Notes<EventFD> = Notes(),
  of json: String = #"{"capabilities":{"max_msg_fds":3}}"#
) throws -> Client {
  try client(of: json) { server in
    while true {
      let message = try server.receive()
      while let descriptor = server.takeDescriptor() {
        kept.add(EventFD(adopting: descriptor))
      }
      if message.command == .deviceSetIRQs { seen.add(InterruptRequest(message)) }
      server.answer(message)
    }
  }
}

private let events: UInt32 = 0b100
private let mask: UInt32 = 0b001_000
private let unmask: UInt32 = 0b010_000
private let trigger: UInt32 = 0b100_000

@Suite struct `Interrupts of a device` {
  @Test func `A device interrupt runs its callback, which may call the client`() throws {
    let kept = Notes<EventFD>()
    let seen = Notes<InterruptRequest>()
    let client = try client(seen, kept)
    let counts = Notes<UInt64>()
    let binding = try client.bind(.msix, vector: 7) { count in
      // A callback may call the client.
      _ = try? client.deviceInfo()
      counts.add(count)
    }
    #expect(seen.all == [InterruptRequest(events | trigger, 2, 7, 1, 1)])
    kept.all[0].signal()
    #expect(counts.wait(for: 1) == [1])
    binding.unbind()
  }

  @Test func `INTx is unmasked after its callback`() throws {
    let kept = Notes<EventFD>()
    let seen = Notes<InterruptRequest>()
    let client = try client(seen, kept)
    let handled = Notes<Int>()
    let binding = try client.bindINTx { handled.add(seen.all.count) }
    kept.all[0].signal()
    #expect(seen.wait(for: 2).last == InterruptRequest(0b001 | unmask, 0, 0, 1, 0))
    #expect(handled.all == [1])
    kept.all[0].signal()
    #expect(seen.wait(for: 3).count == 3)
    binding.unbind()
  }

  @Test func `INTx can be waited for, and is unmasked by a message or by an eventfd`() throws {
    let kept = Notes<EventFD>()
    let seen = Notes<InterruptRequest>()
    let client = try client(seen, kept)
    let pin = try client.intx()
    #expect(!pin.wait(for: .milliseconds(5)))
    kept.all[0].signal()
    #expect(pin.wait(for: .seconds(60)))
    try pin.unmask()
    let other = try client.intx(resampling: true)
    try other.unmask()
    #expect(kept.all[2].wait(for: .seconds(60)) == 1)
    #expect(
      seen.all == [
        InterruptRequest(events | trigger, 0, 0, 1, 1),
        InterruptRequest(0b001 | unmask, 0, 0, 1, 0),
        InterruptRequest(events | trigger, 0, 0, 1, 1),
        InterruptRequest(events | unmask, 0, 0, 1, 1),
      ])
  }

  @Test func `Vectors are masked and unmasked in ranges and by an array of flags`() throws {
    let seen = Notes<InterruptRequest>()
    let client = try client(seen)
    try client.setMask(true, on: .msix, vector: 3, count: 5)
    try client.setMask(false, on: .msix, start: 3, where: [true, false, true])
    try client.disable(.msix)
    #expect(
      seen.all == [
        InterruptRequest(0b001 | mask, 2, 3, 5, 0), InterruptRequest(0b010 | unmask, 2, 3, 3, 0),
        InterruptRequest(0b001 | trigger, 2, 0, 0, 0),
      ])
  }

  @Test func `Triggers of 2048 vectors are set in batches of max_msg_fds`() throws {
    let seen = Notes<InterruptRequest>()
    let client = try client(seen, of: #"{"capabilities":{"max_msg_fds":16}}"#)
    let counter = try EventFD()
    try client.setTriggers(.msix, Array(repeating: counter, count: 2048))
    #expect(seen.all.count == 128)
    #expect(seen.all.allSatisfy { $0.count == 16 && $0.descriptors == 16 })
    #expect(seen.all.map(\.start) == (0..<128).map { $0 * 16 })
  }

  @Test func `Vectors beyond the largest number are refused before anything is sent`() throws {
    let seen = Notes<InterruptRequest>()
    let client = try client(seen)
    for start: UInt32 in [.max, .max - 1] {
      let counters: [EventFD?] = [nil, nil, nil]
      let errors = [
        failure { () throws(ClientError) in
          try client.setTriggers(.msix, start: start, counters)
        },
        failure { () throws(ClientError) in
          try client.setMask(true, on: .msix, start: start, where: [true, true, true])
        },
      ]
      let error = ClientError.badRange(
        "3 vectors from \(start) pass vector 4294967295")
      #expect(errors == [error, error])
    }
    try client.setTriggers(.msix, start: .max - 2, [nil, nil])
    #expect(seen.all == [InterruptRequest(events | trigger, 2, .max - 2, 2, 0)])
  }

  @Test func `Triggers and unmask eventfds are set again in batches after a reconnection`() throws {
    let host = Host()
    let seen = Notes<InterruptRequest>()
    let script: @Sendable (ScriptedServer) throws -> Void = { server in
      try server.agree(#"{"capabilities":{"max_msg_fds":3}}"#)
      while true {
        let message = try server.receive(within: .seconds(60))
        if message.command == .deviceSetIRQs { seen.add(InterruptRequest(message)) }
        server.answer(message)
      }
    }
    try host.start(script)
    var policy = ReconnectionPolicy()
    policy.firstDelay = .milliseconds(2)
    var options = options(timeout: .seconds(30))
    options.reconnection = .on(policy)
    let client = try Client(connectingTo: host.path, options: options)
    let pin = try client.intx(resampling: true)
    let counters = try (0..<6).map { try $0 == 4 ? nil : EventFD() }
    try client.setTriggers(.msix, start: 1, counters)
    let before = seen.all.count
    host.stop()
    #expect(eventually { client.failure != nil })
    try host.start(script)
    try client.reset()
    #expect(
      Array(seen.all[before...]) == [
        InterruptRequest(events | trigger, 0, 0, 1, 1),
        InterruptRequest(events | trigger, 2, 1, 3, 3),
        InterruptRequest(events | trigger, 2, 4, 1, 1),
        InterruptRequest(events | trigger, 2, 6, 1, 1),
        InterruptRequest(events | unmask, 0, 0, 1, 1),
      ])
    #expect(!pin.wait(for: .zero))
  }
}
