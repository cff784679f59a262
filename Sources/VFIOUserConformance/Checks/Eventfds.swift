internal import LinuxPrimitives
internal import VFIOUserProtocol

extension Check {
  static let eventfds: [Check] = [
    Check(522, .irqs, "An eventfd can be set", Clause.setIRQs) { probe throws(Verdict) in
      let peer = try probe.open()
      let facts = try peer.irqWithEventfds()
      let reply = try assign(peer, facts, [try counter()])
      try require(reply.payload.isEmpty, "no payload", saw: "\(reply.payload.count) bytes")
    },
    Check(523, .irqs, "A client can trigger an interrupt itself", Clause.setIRQs) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let facts = try peer.irqWithEventfds()
      let counter = try counter()
      try assign(peer, facts, [counter])
      try trigger(peer, facts)
      try requireSignal(counter, peer, "a signal of the eventfd")
    },
    Check(524, .irqs, "Booleans choose the interrupts that are triggered", Clause.setIRQs) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let facts = try peer.irqWithEventfds(atLeast: 3)
      let counters = [try counter(), try counter(), try counter()]
      try assign(peer, facts, counters)
      try peer.succeed(
        .setIRQs(IRQSet.booleans | IRQSet.trigger, facts.index, count: 3, [0, 1, 0]), "DATA_BOOL")
      try requireSignal(counters[1], peer, "a signal of the one that is true")
      try require("signals of those that are false", counters[0].take() + counters[2].take(), is: 0)
    },
    Check(525, .irqs, "Each of several eventfds belongs to its interrupt", Clause.setIRQs) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let facts = try peer.irqWithEventfds(atLeast: 2)
      let counters = [try counter(), try counter()]
      try assign(peer, facts, counters)
      try trigger(peer, facts, 1)
      try requireSignal(counters[1], peer, "a signal of the second")
      try require("signals of the first", counters[0].take(), is: 0)
    },
    Check(526, .irqs, "The last interrupt of a type can have an eventfd", Clause.setIRQs) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let facts = try peer.irqWithEventfds()
      let counter = try counter()
      try assign(peer, facts, [counter], from: facts.count - 1)
      try trigger(peer, facts, facts.count - 1)
      try requireSignal(counter, peer, "a signal of the last")
    },
    Check(527, .irqs, "An eventfd takes the place of the one before", Clause.setIRQs) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let facts = try peer.irqWithEventfds()
      let (old, new) = (try counter(), try counter())
      try assign(peer, facts, [old])
      try assign(peer, facts, [new])
      try trigger(peer, facts)
      try requireSignal(new, peer, "a signal of the eventfd set last")
      try require("signals of the one before", old.take(), is: 0)
    },
    Check(528, .irqs, "No descriptors take an eventfd away", Clause.setIRQs) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let facts = try peer.irqWithEventfds()
      let counter = try counter()
      try assign(peer, facts, [counter])
      try peer.succeed(
        .setIRQs(IRQSet.eventfd | IRQSet.trigger, facts.index, count: 1),
        "DATA_EVENTFD without descriptors")
      try requireNoSignal(counter, peer, facts)
    },
    Check(529, .irqs, "DATA_NONE with a count of 0 disables the type", Clause.setIRQs) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let facts = try peer.irqWithEventfds()
      let counter = try counter()
      try assign(peer, facts, [counter])
      try peer.succeed(disable(facts.index), "DATA_NONE with a count of 0")
      try requireNoSignal(counter, peer, facts)
    },
    Check(530, .irqs, "An eventfd can be set again after the type was disabled", Clause.setIRQs) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let facts = try peer.irqWithEventfds()
      let counter = try counter()
      try assign(peer, facts, [counter])
      try peer.succeed(disable(facts.index))
      try assign(peer, facts, [counter])
      try trigger(peer, facts)
      try requireSignal(counter, peer, "a signal of the eventfd")
    },
    Check(531, .irqs, "Fewer descriptors than the count are refused", Clause.setIRQs) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let facts = try peer.irqWithEventfds(atLeast: 2)
      let request = Request.setIRQs(IRQSet.eventfd | IRQSet.trigger, facts.index, count: 2)
      try peer.refuse(
        request.carrying([try descriptor(counter())]), "one descriptor for a count of 2")
    },
    Check(532, .irqs, "An eventfd does not outlive its client", Clause.disconnection) {
      probe throws(Verdict) in
      let counter = try counter()
      let first = try probe.open()
      let facts = try first.irqWithEventfds()
      try assign(first, facts, [counter])
      let peer = try probe.open()
      _ = try peer.ask(.setIRQs(IRQSet.none | IRQSet.trigger, facts.index, count: 1))
      try peer.fence("a trigger")
      try require("signals for the client before", counter.take(), is: 0)
    },
    Check(533, .irqs, "A payload shorter than the structure is refused", Clause.setIRQs) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let request = disable(0).with { $0.payload = Array($0.payload.prefix(16)) }
      try peer.refuse(request, "16 of 20 bytes")
    },
    Check(534, .irqs, "An argsz below the structure is refused", Clause.setIRQs) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let facts = try peer.irqWithEventfds()
      try peer.refuse(disable(facts.index).with { $0.payload.put(.u32(4), at: 0) }, "argsz 4")
    },
    Check(535, .irqs, "A triggered interrupt counts once", Clause.setIRQs) {
      probe throws(Verdict) in
      let peer = try probe.open()
      let facts = try peer.irqWithEventfds()
      let counter = try counter()
      try assign(peer, facts, [counter])
      try trigger(peer, facts)
      try peer.fence("a trigger")
      try require("the eventfd's count", counter.take(), is: 1)
    },
  ]

  static func counter() throws(Verdict) -> EventFD {
    do throws(SystemCallError) {
      return try EventFD()
    } catch {
      throw .skipped("no eventfd can be made: \(error)")
    }
  }

  static func descriptor(_ counter: EventFD) throws(Verdict) -> HeldDescriptor {
    do throws(SystemCallError) {
      return try HeldDescriptor(counter)
    } catch {
      throw .skipped("an eventfd cannot be duplicated: \(error)")
    }
  }

  @discardableResult
  private static func assign(
    _ peer: Peer, _ facts: IRQFacts, _ counters: [EventFD], from start: UInt32 = 0
  ) throws(Verdict) -> Message {
    var descriptors: [HeldDescriptor] = []
    for counter in counters { descriptors.append(try descriptor(counter)) }
    let request = Request.setIRQs(
      IRQSet.eventfd | IRQSet.trigger, facts.index, start: start, count: UInt32(counters.count))
    return try peer.succeed(request.carrying(descriptors), "DATA_EVENTFD with \(counters.count)")
  }

  private static func trigger(
    _ peer: Peer, _ facts: IRQFacts, _ number: UInt32 = 0
  ) throws(Verdict) {
    try peer.succeed(
      .setIRQs(IRQSet.none | IRQSet.trigger, facts.index, start: number, count: 1),
      "ACTION_TRIGGER of interrupt \(number)")
  }

  private static func requireSignal(
    _ counter: EventFD, _ peer: Peer, _ expected: String
  ) throws(Verdict) {
    let patience = Duration.nanoseconds(peer.deadline.remaining)
    let start = Deadline.now
    guard counter.wait(for: min(patience, .seconds(1))) != nil else {
      let time = Sight.time(since: start)
      throw .failed(
        expected: expected, seen: Sight("no signal of the eventfd within \(time)", .silence))
    }
  }

  /// A trigger may be refused now; the eventfd stays as it is.
  private static func requireNoSignal(
    _ counter: EventFD, _ peer: Peer, _ facts: IRQFacts
  ) throws(Verdict) {
    _ = counter.take()
    _ = try peer.ask(.setIRQs(IRQSet.none | IRQSet.trigger, facts.index, count: 1))
    try peer.fence("a trigger")
    try require("signals of an eventfd that was taken away", counter.take(), is: 0)
  }
}
